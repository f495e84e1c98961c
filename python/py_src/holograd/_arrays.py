"""Arrays of any kind as holograd takes them: converted once where they must be, never silently wrong."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from . import _holograd
from ._errors import ConfigError

#: What stands for an array: one of NumPy, torch, jax or anything else with ``__array__`` or ``__dlpack__``; numbers in lists.
ArrayLike: TypeAlias = Any
#: Parameters or a gradient: an array for each name.
Parameters: TypeAlias = dict[str, NDArray[Any]]

_ARGUMENTS = _holograd.arguments()

_INTEGERS, _SINGLE, _DOUBLE = np.dtype(np.int64), np.dtype(np.float32), np.dtype(np.float64)


def refused(path: str, found: str, expected: str) -> ConfigError:
    """The exception about an argument."""
    message = f"{_ARGUMENTS}: at `{path}`: {found}; {expected}"
    return ConfigError(message, _ARGUMENTS, path, found, expected)


def taken(path: str, value: ArrayLike) -> NDArray[Any]:
    """Any array as one of NumPy, without a copy where that can be."""
    if type(value) is np.ndarray and value.dtype.kind in "fiub":
        return value
    if not isinstance(value, np.ndarray):
        # A tensor that takes part in automatic differentiation keeps its numbers to itself.
        if hasattr(value, "detach") and hasattr(value, "requires_grad"):
            value = value.detach()
        try:
            if not hasattr(value, "__array__") and hasattr(value, "__dlpack__"):
                value = np.from_dlpack(value)
            else:
                value = np.asarray(value)
        except (TypeError, ValueError, RuntimeError, BufferError, OverflowError) as error:
            raise refused(path, f"found what is no array ({_first_line(error)})", "an array of numbers on the processor") from error
    if isinstance(value, np.ma.MaskedArray) and np.ma.is_masked(value):
        raise refused(path, "found masked entries", "an array whose every entry counts")
    if value.dtype.kind not in "fiub":
        raise refused(path, f"found an array of {value.dtype}", "an array of real numbers")
    return np.asarray(value)


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def reals(path: str, value: ArrayLike, dtype: Any) -> NDArray[Any]:
    """Real numbers in C order, of one of the two types that holograd computes with; the same memory if it is so already."""
    if _is_laid_out(value) and value.dtype == dtype:
        ready: NDArray[Any] = value
        return ready
    array = taken(path, value)
    if array.dtype == np.uint8 and array.size and array.max() > 1:
        raise refused(path, f"found bytes up to {array.max()}", "numbers; pixels from 0 to 255 are divided by 255")
    with np.errstate(over="ignore"):
        converted = _laid_out(array, dtype)
    if array.dtype.kind in "iu" and array.size and not np.array_equal(converted, array):
        raise refused(path, f"found integers beyond those of {np.dtype(dtype)}", "smaller ones, or float64")
    return converted


def _is_laid_out(value: ArrayLike) -> bool:
    """Whether it is an array of NumPy as `_laid_out` makes them, as most are."""
    if type(value) is not np.ndarray:
        return False
    flags = value.flags
    return flags.c_contiguous and flags.aligned


def _laid_out(array: NDArray[Any], dtype: Any) -> NDArray[Any]:
    """In C order, at an address that its type asks for."""
    return np.require(array, dtype, ("C", "A"))


def whole(path: str, value: ArrayLike) -> NDArray[np.int64]:
    """Class indices."""
    if _is_laid_out(value) and value.dtype is _INTEGERS:
        indices: NDArray[np.int64] = value
        return indices
    array = taken(path, value)
    if array.dtype.kind not in "iu":
        raise refused(path, f"found labels of {array.dtype}", "class indices are integers, as y.astype(int)")
    if array.dtype == np.uint64 and array.size and array.max() > np.iinfo(np.int64).max:
        raise refused(path, f"found the label {array.max()}", "class indices from 0 on")
    return _laid_out(array, np.int64)


def parameters(params: Mapping[str, ArrayLike], dtype: Any = None) -> tuple[Parameters, Any]:
    """Parameters as holograd takes them, and their type: the one that is asked for, else float32 if none has more digits, else
    float64."""
    if not isinstance(params, Mapping):
        raise refused("params", f"found an object of type {type(params).__name__}", "a dict of arrays, as of Network.initial")
    if type(params) is dict and (ready := _type_of_all(params)) is not None and dtype in (None, ready):
        return params, ready
    arrays = {}
    for name, value in params.items():
        if not isinstance(name, str):
            raise refused("params", f"found the name {name!r}", "the names of the network's parameters")
        arrays[name] = taken(f"params[{name!r}]", value)
    if dtype is None:
        single = arrays and all(array.dtype.kind == "f" and array.dtype.itemsize <= 4 for array in arrays.values())
        dtype = np.float32 if single else np.float64
    return {name: reals(f"params[{name!r}]", array, dtype) for name, array in arrays.items()}, dtype


def _type_of_all(params: dict[Any, Any]) -> Any:
    """The type of parameters that holograd takes as they are; none of others, of which more has to be found out."""
    kind = None
    for name, value in params.items():
        if type(name) is not str or not _is_laid_out(value) or (kind is not None and value.dtype is not kind):
            return None
        kind = value.dtype
    return np.float64 if kind is _DOUBLE else np.float32 if kind is _SINGLE else None


def inputs(path: str, value: ArrayLike, size: int, image: tuple[int, ...] | None, dtype: Any) -> NDArray[Any]:
    """Inputs as [samples, inputs]; one sample may stand alone, and an image have its shape."""
    array = reals(path, value, dtype)
    if image is not None and array.shape[-3:] == image and array.ndim in (3, 4):
        return array.reshape(-1, size)
    if array.shape == (size,):
        return array.reshape(1, size)
    if array.ndim == 2 and array.shape[1] == size:
        return array
    shape = f"[samples, {size}]" if image is None else f"[samples, {size}] or [samples, {', '.join(map(str, image))}]"
    raise refused(path, f"found the shape {list(array.shape)}", f"the expected shape is {shape}")


def targets(path: str, value: ArrayLike, samples: int, outputs: int, classifies: bool, dtype: Any) -> NDArray[Any]:
    """Labels [samples] as int64, or targets [samples, outputs] as real numbers; those of one sample may stand alone."""
    array = taken(path, value)
    if array.ndim == 0 and samples == 1:
        array = array.reshape(1)
    elif samples == 1 and array.shape == (outputs,) and outputs > 1:
        array = array.reshape(1, outputs)
    elif array.ndim == 1 and outputs == 1 and not classifies:
        array = array.reshape(-1, 1)
    if array.shape == (samples, outputs) and array.ndim == 2:
        return reals(path, array, dtype)
    if array.shape == (samples,):
        return whole(path, array)
    found = f"found the shape {list(array.shape)}"
    raise refused(path, found, f"labels [{samples}], or targets [{samples}, {outputs}]")


def classes(path: str, value: ArrayLike, samples: int) -> tuple[NDArray[np.int64], int | None]:
    """Class indices [samples] of class indices or one-hot rows, and the number of classes where these tell it."""
    array = taken(path, value)
    if array.ndim == 2 and array.shape[0] == samples and array.shape[1] > 1:
        hot = (array == 1).sum(axis=1) == 1
        whole_rows = hot & ((array == 0).sum(axis=1) == array.shape[1] - 1)
        if not whole_rows.all():
            raise refused(path, f"the row of sample {int(np.argmin(whole_rows))} is not one-hot", "a single 1 among zeros")
        return np.ascontiguousarray(array.argmax(axis=1), dtype=np.int64), array.shape[1]
    if array.shape != (samples,):
        raise refused(path, f"found the shape {list(array.shape)}", f"class indices [{samples}], or one-hot rows")
    return whole(path, array), None


Data: TypeAlias = "tuple[tuple[NDArray[Any], NDArray[Any]], tuple[NDArray[Any], NDArray[Any]], int, tuple[int, ...] | None]"


def data(value: Any, outputs: int | None) -> Data:
    """Samples to learn from and for the test, as ``data=(x_train, y_train, x_test, y_test)`` gives them."""
    if not isinstance(value, (tuple, list)) or len(value) != 4:
        raise refused("data", f"found {type(value).__name__}", "(x_train, y_train, x_test, y_test)")
    parts, shapes, told = [], [], []
    for part, x, y in (("train", value[0], value[1]), ("test", value[2], value[3])):
        array = reals(f"x_{part}", x, np.float32)
        if array.ndim not in (2, 4) or not array.size:
            raise refused(f"x_{part}", f"found the shape {list(array.shape)}", "[samples, inputs] or [samples, height, width, channels]")
        labels, count = classes(f"y_{part}", y, array.shape[0])
        shapes.append(array.shape[1:])
        told.append(count)
        parts.append((array.reshape(array.shape[0], -1), labels))
    if shapes[0] != shapes[1]:
        raise refused("x_test", f"found samples of the shape {list(shapes[1])}", f"{list(shapes[0])}, as to learn from")
    known = outputs or max((count for count in told if count is not None), default=None)
    number = known or int(max(labels.max() for _, labels in parts)) + 1
    image = shapes[0] if len(shapes[0]) == 3 else None
    return parts[0], parts[1], max(number, 2), image


def named(value: Mapping[str, ArrayLike]) -> Parameters:
    """The arrays of a file: real numbers keep one of two types, integers become int64."""
    arrays: Parameters = {}
    for name, item in value.items():
        array = taken(name, item)
        if array.dtype.kind in "iub":
            arrays[str(name)] = _laid_out(array, np.int64)
        else:
            single = array.dtype.itemsize <= 4
            arrays[str(name)] = _laid_out(array, np.float32 if single else np.float64)
    return arrays

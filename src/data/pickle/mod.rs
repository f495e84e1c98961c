//! Python's pickles, as far as data sets need them: dictionaries of byte strings, lists of numbers and NumPy arrays, in
//! protocols 2 to 5.
//!
//! Nothing is ever called: what a pickle names is recognised or stands for nothing. Values lie in one list and refer to
//! each other by place, so that no depth and no sharing makes more of a file than it holds; byte strings stay in the
//! file. (The crate `serde-pickle` copies what is shared, descends into what is nested and reads all of a file that is to
//! be counted.)

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};

use super::batch::Array;

/// Instructions that are followed at most: a label takes one or two.
const MOST: usize = 5_000_000;
/// Bytes of a text that is kept.
const TEXT: u64 = 256;

/// Why a file is none.
type Fault = String;
type Parsed<T> = std::result::Result<T, Fault>;

/// Where bytes lie in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) at: u64,
    pub(super) length: u64,
}

#[derive(Debug, Clone)]
enum Value {
    /// What data sets do not need.
    Other,
    Number(i64),
    /// A byte string or a text; of a short one, what it says.
    Bytes(Span, Option<Box<[u8]>>),
    /// A list or a tuple.
    Items(Vec<u32>),
    /// A dictionary.
    Pairs(Vec<(u32, u32)>),
    Callable(Callable),
    /// The type of the elements of an array, as `u1` or `>f8`.
    Element(String),
    /// An array; none before its state is set.
    Array(Option<Box<(Array, Span)>>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Callable {
    Reconstruct,
    FromBuffer,
    Element,
    Other,
}

/// A dictionary that was read.
pub(super) struct Pickle {
    pub(super) protocol: u8,
    file: BufReader<File>,
    values: Vec<Value>,
    pairs: Vec<(u32, u32)>,
}

impl Pickle {
    /// Reads a file of so many bytes.
    pub(super) fn read(file: File, length: u64) -> Parsed<Self> {
        let file = BufReader::with_capacity(1 << 16, file);
        let mut machine = Machine {
            protocol: 0,
            file,
            at: 0,
            length,
            values: Vec::new(),
            stack: Vec::new(),
            marks: Vec::new(),
            memo: HashMap::new(),
        };
        let top = machine.run()?;
        if machine.at != length {
            return Err(format!("it goes on after its end, at byte {} of {length}", machine.at));
        }
        match std::mem::replace(&mut machine.values[top as usize], Value::Other) {
            Value::Pairs(pairs) => {
                let Machine { protocol, file, values, .. } = machine;
                Ok(Self { protocol, file, values, pairs })
            }
            _ => Err("it holds no dictionary".to_owned()),
        }
    }

    fn get(&self, name: &str) -> Option<&Value> {
        let named = |key: u32| self.text(key) == Some(name.as_bytes());
        let (_, value) = self.pairs.iter().find(|(key, _)| named(*key))?;
        Some(&self.values[*value as usize])
    }

    fn text(&self, place: u32) -> Option<&[u8]> {
        match &self.values[place as usize] {
            Value::Bytes(_, text) => text.as_deref(),
            _ => None,
        }
    }

    /// The names of what it holds.
    pub(super) fn names(&self) -> Vec<String> {
        let name = |(key, _): &(u32, u32)| Some(String::from_utf8_lossy(self.text(*key)?).into_owned());
        self.pairs.iter().filter_map(name).collect()
    }

    /// The array of this name, and where its numbers lie.
    pub(super) fn array(&self, name: &str) -> Option<&(Array, Span)> {
        match self.get(name)? {
            Value::Array(array) => array.as_deref(),
            _ => None,
        }
    }

    /// The list of whole numbers of this name.
    pub(super) fn numbers(&self, name: &str) -> Option<Vec<i64>> {
        let Value::Items(items) = self.get(name)? else { return None };
        items.iter().map(|&item| number(&self.values, item)).collect()
    }

    /// The short text of this name.
    pub(super) fn short(&self, name: &str) -> Option<String> {
        match self.get(name)? {
            Value::Bytes(_, text) => Some(String::from_utf8_lossy(text.as_deref()?).into_owned()),
            _ => None,
        }
    }

    /// From where a byte string lies on.
    pub(super) fn seek(&mut self, span: Span) -> std::io::Result<std::io::Take<&mut BufReader<File>>> {
        self.file.seek(SeekFrom::Start(span.at))?;
        Ok(self.file.by_ref().take(span.length))
    }
}

fn number(values: &[Value], place: u32) -> Option<i64> {
    match values[place as usize] {
        Value::Number(number) => Some(number),
        _ => None,
    }
}

/// What Python's unpickler has: a stack with marks, and a memory of values that are met again.
struct Machine {
    protocol: u8,
    file: BufReader<File>,
    at: u64,
    length: u64,
    values: Vec<Value>,
    stack: Vec<u32>,
    marks: Vec<usize>,
    memo: HashMap<u32, u32>,
}

impl Machine {
    /// Follows the instructions; returns the place of what they make.
    fn run(&mut self) -> Parsed<u32> {
        let [proto, version] = self.bytes()?;
        if proto != 0x80 || !(2..=5).contains(&version) {
            return Err("it is no pickle of protocol 2 to 5".to_owned());
        }
        self.protocol = version;
        for _ in 0..MOST {
            let [code] = self.bytes()?;
            if code == b'.' {
                return self.pop();
            }
            self.follow(code)?;
        }
        Err(format!("it has more than {MOST} instructions"))
    }

    fn follow(&mut self, code: u8) -> Parsed<()> {
        match code {
            // Frames only help to read ahead.
            0x95 => self.bytes::<8>().map(drop),
            b'(' => {
                self.marks.push(self.stack.len());
                Ok(())
            }
            b'0' => self.pop().map(drop),
            b'1' => self.pop_mark().map(drop),
            b'N' => self.push(Value::Other),
            0x88 => self.push(Value::Number(1)),
            0x89 => self.push(Value::Number(0)),
            b'K' | b'M' | b'J' | 0x8a | b'G' => self.push_number(code),
            b'U' | b'C' | 0x8c => {
                let [length] = self.bytes()?;
                self.push_bytes(u64::from(length))
            }
            b'T' | b'B' | b'X' => {
                let length = u32::from_le_bytes(self.bytes()?);
                self.push_bytes(u64::from(length))
            }
            0x8d | 0x8e | 0x96 => {
                let length = u64::from_le_bytes(self.bytes()?);
                self.push_bytes(length)
            }
            b']' | b')' => self.push(Value::Items(Vec::new())),
            b'}' => self.push(Value::Pairs(Vec::new())),
            0x85..=0x87 => {
                let count = usize::from(code - 0x84);
                let from = self.stack.len().checked_sub(count).filter(|from| *from >= self.floor());
                let items = self.stack.split_off(from.ok_or_else(exhausted)?);
                self.push(Value::Items(items))
            }
            b'l' | b't' => {
                let items = self.pop_mark()?;
                self.push(Value::Items(items))
            }
            b'd' => {
                let items = self.pop_mark()?;
                self.push(Value::Pairs(pairs(&items)?))
            }
            b'a' => {
                let item = self.pop()?;
                self.append(&[item])
            }
            b'e' => {
                let items = self.pop_mark()?;
                self.append(&items)
            }
            b's' => {
                let value = self.pop()?;
                let key = self.pop()?;
                self.set(&[key, value])
            }
            b'u' => {
                let items = self.pop_mark()?;
                self.set(&items)
            }
            b'q' | b'r' | 0x94 | b'h' | b'j' => self.remember(code),
            b'c' => {
                let (module, name) = (self.line()?, self.line()?);
                self.push(Value::Callable(callable(&module, &name)))
            }
            0x93 => {
                let (name, module) = (self.pop()?, self.pop()?);
                let callable = callable(&self.short(module)?, &self.short(name)?);
                self.push(Value::Callable(callable))
            }
            b'R' | 0x81 => self.call(),
            b'b' => self.build(),
            other => Err(format!(
                "it has an instruction that data sets do not need, {other:#04x} at byte {}",
                self.at - 1
            )),
        }
    }

    /// The next bytes.
    fn bytes<const N: usize>(&mut self) -> Parsed<[u8; N]> {
        let mut bytes = [0; N];
        self.advance(N as u64)?;
        self.file.read_exact(&mut bytes).map_err(|error| error.to_string())?;
        Ok(bytes)
    }

    fn advance(&mut self, count: u64) -> Parsed<()> {
        match self.at.checked_add(count).filter(|end| *end <= self.length) {
            Some(end) => {
                self.at = end;
                Ok(())
            }
            None => Err(format!("it is truncated: {} bytes", self.length)),
        }
    }

    fn push(&mut self, value: Value) -> Parsed<()> {
        // There are fewer of them than instructions.
        self.stack.push(self.values.len() as u32);
        self.values.push(value);
        Ok(())
    }

    fn push_number(&mut self, code: u8) -> Parsed<()> {
        let number = match code {
            b'K' => i64::from(self.bytes::<1>()?[0]),
            b'M' => i64::from(u16::from_le_bytes(self.bytes()?)),
            b'J' => i64::from(i32::from_le_bytes(self.bytes()?)),
            b'G' => {
                self.bytes::<8>()?;
                return self.push(Value::Other);
            }
            _ => {
                let [count] = self.bytes()?;
                let mut digits = [0; 8];
                if usize::from(count) > digits.len() {
                    return Err("it has a number of more than 64 bits".to_owned());
                }
                for digit in &mut digits[..usize::from(count)] {
                    [*digit] = self.bytes()?;
                }
                // The sign of the last digit goes on.
                let unused = 64 - 8 * u32::from(count);
                i64::from_le_bytes(digits).checked_shl(unused).map_or(0, |number| number >> unused)
            }
        };
        self.push(Value::Number(number))
    }

    fn push_bytes(&mut self, length: u64) -> Parsed<()> {
        let span = Span { at: self.at, length };
        self.advance(length)?;
        let text = if length <= TEXT {
            let mut text = vec![0; length as usize].into_boxed_slice();
            self.file.read_exact(&mut text).map_err(|error| error.to_string())?;
            Some(text)
        } else {
            self.file.seek_relative(length as i64).map_err(|error| error.to_string())?;
            None
        };
        self.push(Value::Bytes(span, text))
    }

    fn line(&mut self) -> Parsed<Vec<u8>> {
        let mut line = Vec::new();
        loop {
            match self.bytes()? {
                [b'\n'] => return Ok(line),
                [byte] if (line.len() as u64) < TEXT => line.push(byte),
                _ => return Err("it has a name that is too long".to_owned()),
            }
        }
    }

    fn short(&self, place: u32) -> Parsed<Vec<u8>> {
        match &self.values[place as usize] {
            Value::Bytes(_, Some(text)) => Ok(text.to_vec()),
            _ => Err("it names something by no text".to_owned()),
        }
    }

    /// Height of the stack above which values may be taken.
    fn floor(&self) -> usize {
        self.marks.last().copied().unwrap_or(0)
    }

    fn pop(&mut self) -> Parsed<u32> {
        if self.stack.len() <= self.floor() {
            return Err(exhausted());
        }
        self.stack.pop().ok_or_else(exhausted)
    }

    fn pop_mark(&mut self) -> Parsed<Vec<u32>> {
        let mark = self.marks.pop().ok_or_else(exhausted)?;
        Ok(self.stack.split_off(mark))
    }

    /// What is on top and stays there.
    fn top(&mut self) -> Parsed<&mut Value> {
        if self.stack.len() <= self.floor() {
            return Err(exhausted());
        }
        let place = *self.stack.last().ok_or_else(exhausted)?;
        Ok(&mut self.values[place as usize])
    }

    fn append(&mut self, more: &[u32]) -> Parsed<()> {
        match self.top()? {
            Value::Items(items) => items.extend_from_slice(more),
            _ => return Err("it appends to something that is no list".to_owned()),
        }
        Ok(())
    }

    fn set(&mut self, more: &[u32]) -> Parsed<()> {
        let more = pairs(more)?;
        match self.top()? {
            Value::Pairs(pairs) => pairs.extend(more),
            _ => return Err("it sets an item of something that is no dictionary".to_owned()),
        }
        Ok(())
    }

    fn remember(&mut self, code: u8) -> Parsed<()> {
        let index = match code {
            b'q' | b'h' => u32::from(self.bytes::<1>()?[0]),
            b'r' | b'j' => u32::from_le_bytes(self.bytes()?),
            _ => self.memo.len() as u32,
        };
        if matches!(code, b'h' | b'j') {
            let place = *self.memo.get(&index).ok_or("it refers to something that it has not said")?;
            self.stack.push(place);
        } else {
            let place = *self.stack.last().ok_or_else(exhausted)?;
            self.memo.insert(index, place);
        }
        Ok(())
    }

    /// A callable and its arguments become what it would make.
    fn call(&mut self) -> Parsed<()> {
        let (arguments, callee) = (self.pop()?, self.pop()?);
        let Value::Callable(callee) = self.values[callee as usize] else {
            return Err("it calls something that cannot be called".to_owned());
        };
        let Value::Items(arguments) = &self.values[arguments as usize] else {
            return Err("it calls something with no arguments".to_owned());
        };
        let made = match (callee, arguments.as_slice()) {
            (Callable::Reconstruct, _) => Value::Array(None),
            (Callable::Element, [name, ..]) => match self.short(*name) {
                Ok(name) => Value::Element(String::from_utf8_lossy(&name).into_owned()),
                Err(_) => Value::Other,
            },
            (Callable::FromBuffer, &[data, element, shape, order]) => {
                let fortran = self.short(order)? == b"F";
                Value::Array(Some(Box::new(self.array(shape, element, fortran, data)?)))
            }
            _ => Value::Other,
        };
        self.push(made)
    }

    /// Sets the state of what is on top, if it is an array or the type of its elements.
    fn build(&mut self) -> Parsed<()> {
        let state = self.pop()?;
        let object = *self.stack.last().ok_or_else(exhausted)?;
        let Value::Items(state) = &self.values[state as usize] else { return Ok(()) };
        // No state that matters is longer.
        let state: Vec<u32> = state.iter().take(6).copied().collect();
        let built = match (&self.values[object as usize], state.as_slice()) {
            (Value::Array(None), &[_, shape, element, fortran, data]) => {
                let fortran = number(&self.values, fortran) == Some(1);
                Value::Array(Some(Box::new(self.array(shape, element, fortran, data)?)))
            }
            (Value::Element(name), [_, order, ..]) if self.short(*order).is_ok_and(|order| order == b">") => {
                Value::Element(format!(">{name}"))
            }
            _ => return Ok(()),
        };
        self.values[object as usize] = built;
        Ok(())
    }

    fn array(&self, shape: u32, element: u32, fortran: bool, data: u32) -> Parsed<(Array, Span)> {
        let value = |place: u32| &self.values[place as usize];
        let (Value::Items(shape), Value::Element(element), Value::Bytes(span, _)) =
            (value(shape), value(element), value(data))
        else {
            let found = "it holds an array that is not written as its bytes, as by Python 3 in protocol 2";
            return Err(found.to_owned());
        };
        let size = |&place: &u32| number(&self.values, place).and_then(|size| u64::try_from(size).ok());
        // NumPy allows no more.
        let shape = shape.iter().take(65).map(size).collect::<Option<Vec<u64>>>();
        let shape = shape.ok_or("it holds an array whose sizes are no numbers")?;
        Ok((Array { element: element.clone(), shape, fortran, length: span.length }, *span))
    }
}

fn exhausted() -> Fault {
    "it takes values that it has not made".to_owned()
}

fn pairs(items: &[u32]) -> Parsed<Vec<(u32, u32)>> {
    let (pairs, rest) = items.as_chunks::<2>();
    if !rest.is_empty() {
        return Err("it has a key without a value".to_owned());
    }
    Ok(pairs.iter().map(|&[key, value]| (key, value)).collect())
}

fn callable(module: &[u8], name: &[u8]) -> Callable {
    match (module, name) {
        (b"numpy.core.multiarray" | b"numpy._core.multiarray", b"_reconstruct") => Callable::Reconstruct,
        (b"numpy.core.numeric" | b"numpy._core.numeric", b"_frombuffer") => Callable::FromBuffer,
        (b"numpy", b"dtype") => Callable::Element,
        _ => Callable::Other,
    }
}

#[cfg(test)]
mod tests;

//! Files that are whole, and files that are not.

use proptest::prelude::*;

use super::*;

/// A file in the making, written by the reference implementation of the format.
fn reference(entries: &[(&str, Dtype, &[usize], Vec<u8>)]) -> Vec<u8> {
    let views = entries.iter().map(|(name, dtype, shape, data)| {
        (*name, safetensors::tensor::TensorView::new(*dtype, shape.to_vec(), data).unwrap())
    });
    safetensors::serialize(views, None).unwrap()
}

fn le<const N: usize, T>(values: &[T], bytes: impl Fn(&T) -> [u8; N]) -> Vec<u8> {
    values.iter().flat_map(bytes).collect()
}

fn f64s(values: &[f64]) -> Vec<u8> {
    le(values, |x| x.to_le_bytes())
}

fn message<T: std::fmt::Debug>(result: Result<T>) -> String {
    let error = result.unwrap_err();
    assert!(matches!(error, Error::Input { .. } | Error::Memory { .. }));
    error.to_string()
}

#[test]
fn rows_on_disk_are_rows_in_memory() {
    let bytes = reference(&[
        ("a", Dtype::F64, &[2, 3], f64s(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0])),
        ("b", Dtype::F32, &[2], le(&[0.5_f32, -1.5], |x| x.to_le_bytes())),
    ]);
    let mut tensors = parse_tensors("p", &bytes).unwrap();
    let a = tensors.matrix::<f32>("a", [2, 3]).unwrap();
    assert_eq!((a[(0, 1)], a[(1, 0)]), (2.0, 4.0));
    assert_eq!(tensors.unused(), ["b"]);
    assert_eq!(message(tensors.refuse_unused()), "p: unknown array `b`; the known ones here are `a`");
    assert_eq!(tensors.vector::<f64>("b", 2).unwrap().as_slice(), [0.5, -1.5]);
    tensors.refuse_unused().unwrap();
}

#[test]
fn wrong_names_shapes_types_and_entries_are_refused() {
    let bytes = reference(&[
        ("w", Dtype::F64, &[2, 2], f64s(&[1.0, 2.0, f64::NAN, 1e300])),
        ("big", Dtype::F64, &[1], f64s(&[1e300])),
        ("y", Dtype::I32, &[3], le(&[0_i32, 4, -1], |x| x.to_le_bytes())),
    ]);
    let mut tensors = parse_tensors("p", &bytes).unwrap();
    assert_eq!(
        message(tensors.matrix::<f64>("w", [4, 1])),
        "p: at `w`: found the shape [2, 2]; the expected shape is [4, 1]"
    );
    assert_eq!(
        message(tensors.matrix::<f64>("w", [2, 2])),
        "p: at `w`: entry [1, 0] is NaN; every entry must be finite"
    );
    assert_eq!(
        message(tensors.vector::<f32>("big", 1)),
        "p: at `big`: entry [0] is 1e300; it must lie within the range of single precision"
    );
    assert_eq!(tensors.vector::<f64>("big", 1).unwrap()[0], 1e300);
    assert_eq!(
        message(tensors.vector::<f64>("v", 1)),
        "p: there is no array `v`; the file holds `big`, `w`, `y`"
    );
    assert_eq!(
        message(tensors.vector::<f64>("y", 3)),
        "p: at `y`: found integers; it must hold F32 or F64 numbers"
    );
    assert_eq!(
        message(tensors.integers("big", &[1])),
        "p: at `big`: found F64 numbers; it must hold integers, of 8 to 64 bits"
    );
    assert_eq!(
        message(tensors.labels("y", 3, 5)),
        "p: at `y`: entry [2] is -1; a label must lie between 0 and 4"
    );
    assert_eq!(
        message(tensors.labels("y", 3, 4)),
        "p: at `y`: entry [1] is 4; a label must lie between 0 and 3"
    );
}

#[test]
fn integers_of_every_width_become_labels() {
    let entries: [(&str, Dtype, &[usize], Vec<u8>); 8] = [
        ("i64", Dtype::I64, &[2], le(&[3_i64, 200], |x| x.to_le_bytes())),
        ("i32", Dtype::I32, &[2], le(&[3_i32, 200], |x| x.to_le_bytes())),
        ("i16", Dtype::I16, &[2], le(&[3_i16, 200], |x| x.to_le_bytes())),
        ("i8", Dtype::I8, &[2], le(&[3_i8, 100], |x| x.to_le_bytes())),
        ("u64", Dtype::U64, &[2], le(&[3_u64, 200], |x| x.to_le_bytes())),
        ("u32", Dtype::U32, &[2], le(&[3_u32, 200], |x| x.to_le_bytes())),
        ("u16", Dtype::U16, &[2], le(&[3_u16, 200], |x| x.to_le_bytes())),
        ("u8", Dtype::U8, &[2], vec![3, 200]),
    ];
    let mut tensors = parse_tensors("p", &reference(&entries)).unwrap();
    for (name, ..) in &entries {
        let second = if *name == "i8" { 100 } else { 200 };
        assert_eq!(tensors.labels(name, 2, 256).unwrap(), [3, second], "{name}");
    }
}

#[test]
fn bad_files_are_refused_with_their_reason() {
    let good = reference(&[("w", Dtype::F64, &[2], f64s(&[1.0, 2.0]))]);
    let needed = "; a safetensors file with arrays of F32, F64 or integers is needed";
    let check = |bytes: &[u8], found: &str| {
        assert_eq!(message(parse_tensors("p", bytes)), format!("p: {found}{needed}"));
    };
    check(b"", "the file is empty");
    check(&good[..5], "the file is truncated: its 5 bytes end within the header");
    check(&good[..20], "the file is truncated: its 20 bytes end within the header");
    let short = good.len() - 1;
    check(
        &good[..short],
        &format!(
            "the file is truncated or has trailing bytes: its {short} bytes are not what its header says"
        ),
    );
    check(
        b"PK\x03\x04 zip?",
        "this is no safetensors file: its first 8 bytes are not the length of a header",
    );
    check(
        b"\x02\0\0\0\0\0\0\0{]",
        "the header is bad: invalid JSON in header: key must be a string at line 1 column 2",
    );
    let half = reference(&[("h", Dtype::BF16, &[1], vec![0, 0])]);
    assert_eq!(message(parse_tensors("p", &half)), format!("p: at `h`: found the type BF16{needed}"));
    let huge = reference(&[("n", Dtype::U64, &[1], vec![255; 8])]);
    assert_eq!(
        message(parse_tensors("p", &huge)),
        format!("p: at `n`: found 18446744073709551615, beyond 64 signed bits{needed}")
    );
    let folder = tempfile::tempdir().unwrap();
    let absent = message(read_tensors(folder.path().join("absent.safetensors")));
    assert!(absent.contains("absent.safetensors: cannot be read: No such file"), "{absent}");
}

/// A file is read as far as its header says, and refused before that where it cannot be what it says.
#[test]
fn no_more_is_read_than_the_header_says() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("p.safetensors");
    let good = reference(&[("w", Dtype::F64, &[2], f64s(&[1.0, 2.0]))]);
    let write = |bytes: &[u8], length: u64| {
        std::fs::write(&path, bytes).unwrap();
        // A hole takes no disk.
        File::options().write(true).open(&path).unwrap().set_len(length).unwrap();
    };
    write(&good, good.len() as u64);
    assert_eq!(read_tensors(&path).unwrap().get("w"), parse_tensors("p", &good).unwrap().get("w"));
    write(&good, 1 << 40);
    let told = message(read_tensors(&path));
    assert!(told.contains("its 1099511627776 bytes are not what its header says"), "{told}");
    let vast = r#"{"w":{"dtype":"F64","shape":[137438953472],"data_offsets":[0,1099511627776]}}"#;
    let vast = [&(vast.len() as u64).to_le_bytes()[..], vast.as_bytes()].concat();
    write(&vast, vast.len() as u64 + (1 << 40));
    let told = message(read_tensors(&path));
    assert!(told.contains("reading it takes 3.0 TiB of memory; this process may take "), "{told}");
    #[cfg(unix)]
    assert!(message(read_tensors("/dev/zero")).contains("/dev/zero: the header is bad"));
    for length in [0, 5] {
        write(&good[..length], length as u64);
        let told = message(read_tensors(&path));
        assert!(told.contains(if length == 0 { "the file is empty" } else { "its 5 bytes end" }), "{told}");
    }
}

#[test]
fn bytes_depend_on_the_content_alone() {
    let build = |names: &[&str]| {
        let mut tensors = Tensors::new();
        for name in names {
            tensors.insert_reals(*name, &[1], &[1.0_f32]);
            tensors.metadata.insert((*name).to_owned(), "x".to_owned());
        }
        tensors.to_bytes()
    };
    assert_eq!(build(&["a", "b", "c", "d", "e"]), build(&["e", "c", "b", "d", "a"]));
}

proptest! {
    #[test]
    fn what_is_written_is_what_the_reference_reads(
        (rows, columns, values) in (0_usize..5, 0_usize..5).prop_flat_map(|(rows, columns)| {
            (Just(rows), Just(columns), prop::collection::vec(-1e30..1e30_f64, rows * columns))
        }),
        text in ".{0,12}",
    ) {
        let wide = DMatrix::from_row_slice(rows, columns, &values);
        let narrow = wide.map(|x| x as f32);
        let mut tensors = Tensors::new();
        tensors.insert_matrix("wide", &wide);
        tensors.insert_matrix("narrow", &narrow);
        tensors.insert("label \"1\"", &[1], Values::Integer(vec![i64::MIN]));
        tensors.metadata.insert("note".to_owned(), text.clone());
        let bytes = tensors.to_bytes();

        let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
        prop_assert_eq!(&header.metadata().as_ref().unwrap()["note"], &text);
        let reference = SafeTensors::deserialize(&bytes).unwrap();
        prop_assert_eq!(reference.tensor("wide").unwrap().data(), f64s(&values));
        let expected: Vec<u8> = values.iter().flat_map(|&x| (x as f32).to_le_bytes()).collect();
        prop_assert_eq!(reference.tensor("narrow").unwrap().data(), expected);

        let mut read = parse_tensors("p", &bytes).unwrap();
        prop_assert_eq!(read.matrix::<f64>("wide", [rows, columns]).unwrap(), wide);
        prop_assert_eq!(read.matrix::<f32>("narrow", [rows, columns]).unwrap(), narrow);
        prop_assert_eq!(read.integers("label \"1\"", &[1]).unwrap(), vec![i64::MIN]);
        prop_assert_eq!(&read.metadata["note"], &text);
    }

    #[test]
    fn damaged_bytes_never_panic(at in 0_usize..200, value in any::<u8>(), keep in 0_usize..200) {
        let mut bytes = reference(&[
            ("w", Dtype::F64, &[2, 3], f64s(&[1.0; 6])),
            ("y", Dtype::U8, &[2], vec![1, 2]),
        ]);
        if let Some(byte) = bytes.get_mut(at) {
            *byte = value;
        }
        bytes.truncate(keep.max(8));
        // Whatever comes out, it is a value or an error that names the file.
        if let Err(error) = parse_tensors("p", &bytes) {
            prop_assert!(error.to_string().starts_with("p: "));
        }
    }
}

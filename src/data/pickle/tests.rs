//! Pickles as Python writes them, and damaged ones.

use std::io::Write;

use super::*;

fn read(bytes: &[u8]) -> Parsed<Pickle> {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    file.rewind().unwrap();
    Pickle::read(file, bytes.len() as u64)
}

/// `pickle.dumps({"x": numpy.arange(3, dtype=">i2"), "y": [1, -2, 70000, 2**40], "z": b"ab"}, protocol)` of Python 3.11
/// and NumPy 2.
#[test]
fn what_numpy_writes_is_read() {
    for (protocol, hex) in GOLDEN {
        let mut pickle = read(&bytes(hex)).unwrap();
        assert_eq!(pickle.names(), ["x", "y", "z"], "protocol {protocol}");
        let (array, span) = pickle.array("x").unwrap().clone();
        let expected = Array { element: ">i2".into(), shape: vec![3], fortran: false, length: 6 };
        assert_eq!(array, expected, "protocol {protocol}");
        let mut numbers = Vec::new();
        pickle.seek(span).unwrap().read_to_end(&mut numbers).unwrap();
        assert_eq!(numbers, [0, 0, 0, 1, 0, 2]);
        assert_eq!(pickle.numbers("y").unwrap(), [1, -2, 70000, 1 << 40]);
        assert_eq!(pickle.short("z").unwrap(), "ab");
    }
}

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u32> = hex.chars().filter_map(|c| c.to_digit(16)).collect();
    digits.as_chunks::<2>().0.iter().map(|[a, b]| (16 * a + b) as u8).collect()
}

/// `pickle.dumps({"x": numpy.arange(3, dtype="u1")}, 2)` of Python 3.11: the bytes of the array are written as text.
#[test]
fn protocol_2_of_python_3_is_refused_for_what_it_is() {
    let fault = read(&bytes(TEXT_OF_BYTES)).err().unwrap();
    assert_eq!(fault, "it holds an array that is not written as its bytes, as by Python 3 in protocol 2");
}

/// What is nested or shared without end takes no more than its bytes.
#[test]
fn neither_depth_nor_sharing_costs_more_than_the_file() {
    let deep = [b"\x80\x02}X\x01\x00\x00\x00x".as_slice(), b")", &b"\x85".repeat(1_000_000), b"s."].concat();
    assert_eq!(read(&deep).unwrap().names(), ["x"]);
    // Each list holds the one before it twice.
    let mut laughs = b"\x80\x02}X\x01\x00\x00\x00x]q\x00".to_vec();
    for index in 0..100_u8 {
        laughs.extend([b'0', b']', b'q', index + 1, b'(', b'h', index, b'h', index, b'e']);
    }
    laughs.extend(b"s.");
    assert_eq!(read(&laughs).unwrap().names(), ["x"]);
    // The state of an object is met again and again.
    let list = [b"(".as_slice(), &b"K\x00".repeat(100_000), b"lq\x00"].concat();
    let built =
        [b"\x80\x02}X\x01\x00\x00\x00x".as_slice(), &list, b"0]", &b"h\x00b".repeat(100_000), b"s."].concat();
    assert_eq!(read(&built).unwrap().numbers("x").unwrap().len(), 0);
}

#[test]
fn what_cannot_be_followed_is_told() {
    let fault = |code: &[u8]| read(&[b"\x80\x02", code].concat()).err().unwrap();
    for code in [
        &b"."[..],
        b"0.",
        b"1.",
        b"\x85.",
        b"(0.",
        b"(.",
        b"a.",
        b"e.",
        b"u.",
        b"R.",
        b"b.",
        b"q\x00.",
        b"\x93.",
    ] {
        assert_eq!(fault(code), "it takes values that it has not made", "{code:?}");
    }
    assert_eq!(fault(b"h\x05."), "it refers to something that it has not said");
    assert_eq!(fault(b"K\x01K\x01a."), "it appends to something that is no list");
    assert_eq!(fault(b"K\x01(K\x01K\x02u."), "it sets an item of something that is no dictionary");
    assert_eq!(fault(b"}(K\x01u."), "it has a key without a value");
    assert_eq!(fault(b"K\x01)R."), "it calls something that cannot be called");
    assert_eq!(fault(b"cos\nsystem\nK\x01R."), "it calls something with no arguments");
    assert_eq!(fault(b"B\xff\xff\xff\xff."), "it is truncated: 8 bytes");
    assert_eq!(fault(b"\x8e\xff\xff\xff\xff\xff\xff\xff\xff."), "it is truncated: 12 bytes");
    assert_eq!(fault(&[b"c", &b"x".repeat(300)[..]].concat()), "it has a name that is too long");
    assert_eq!(fault(&b"N".repeat(MOST)), format!("it has more than {MOST} instructions"));
    // What is named is never called.
    assert_eq!(read(b"\x80\x02}cos\nsystem\nX\x02\x00\x00\x00ls\x85RK\x01s.").unwrap().names().len(), 0);
}

#[test]
fn whole_numbers_of_every_length_are_read() {
    let list = b"\x80\x02}X\x01\x00\x00\x00x(K\xffM\xff\xffJ\xff\xff\xff\xff\x8a\x00\x8a\x01\xff\x8a\x02\x00\x80\x8a\x03\x01\x02\x03\x88\x89ls.";
    let expected = [255, 65535, -1, 0, -1, -32768, 0x0003_0201, 1, 0];
    assert_eq!(read(list).unwrap().numbers("x").unwrap(), expected);
}

const TEXT_OF_BYTES: &str = "80027d71005801000000787101636e756d70792e5f636f72652e6d756c746961727261790a5f7265636f6e7374727563 \
     740a7102636e756d70790a6e6461727261790a71034b00857104635f636f646563730a656e636f64650a710558010000 \
     0062710658060000006c6174696e31710786710852710987710a52710b284b014b0385710c636e756d70790a64747970 \
     650a710d58020000007531710e898887710f527110284b0358010000007c71114e4e4e4affffffff4affffffff4b0074 \
     71126289680558030000000001027113680786711452711574711662732e";

const GOLDEN: [(u8, &str); 3] = [
    (
        3,
        "80037d7100285801000000787101636e756d70792e5f636f72652e6d756c746961727261790a5f7265636f6e73747275 \
         63740a7102636e756d70790a6e6461727261790a71034b008571044301627105877106527107284b014b03857108636e \
         756d70790a64747970650a710958020000006932710a898887710b52710c284b0358010000003e710d4e4e4e4affffff \
         ff4affffffff4b0074710e62894306000000010002710f7471106258010000007971115d7112284b014afeffffff4a70 \
         1101008a060000000000016558010000007a7113430261627114752e",
    ),
    (
        4,
        "800495bc000000000000007d94288c0178948c166e756d70792e5f636f72652e6d756c74696172726179948c0c5f7265 \
         636f6e7374727563749493948c056e756d7079948c076e6461727261799493944b0085944301629487945294284b014b \
         03859468058c0564747970659493948c02693294898887945294284b038c013e944e4e4e4affffffff4affffffff4b00 \
         749462894306000000010002947494628c0179945d94284b014afeffffff4a701101008a06000000000001658c017a94 \
         4302616294752e",
    ),
    (
        5,
        "800595a7000000000000007d94288c0178948c136e756d70792e5f636f72652e6e756d65726963948c0b5f66726f6d62 \
         756666657294939428960600000000000000000000010002948c056e756d7079948c0564747970659493948c02693294 \
         898887945294284b038c013e944e4e4e4affffffff4affffffff4b007494624b0385948c014394749452948c0179945d \
         94284b014afeffffff4a701101008a06000000000001658c017a944302616294752e",
    ),
];

//! Pickles made by hand: what is followed, what is not, and what would be a bomb.

use super::{FOUR, archive, names, notes_of};
use crate::layouts::read;
use mgit::interchange::FileLayout;

/// A text of a pickle.
fn text(text: &str) -> Vec<u8> {
    [b"X", &(text.len() as u32).to_le_bytes()[..], text.as_bytes()].concat()
}

fn numbers(numbers: &[u32]) -> Vec<u8> {
    let mut bytes = b"(".to_vec();
    for number in numbers {
        bytes.push(b'J');
        bytes.extend(number.to_le_bytes());
    }
    bytes.push(b't');
    bytes
}

/// A persistent id of a storage of this type.
fn storage(of: &str, key: &str, count: u32) -> Vec<u8> {
    let count = [b"J", &count.to_le_bytes()[..]].concat();
    let of = format!("c{of}\n");
    [b"(", &text("storage")[..], of.as_bytes(), &text(key), &text("cpu"), &count, b"tQ"].concat()
}

/// A tensor on the storage `0`, of four floats.
pub(super) fn tensor(offset: u32, dims: &[u32], strides: &[u32]) -> Vec<u8> {
    let offset = [b"J", &offset.to_le_bytes()[..]].concat();
    let arguments =
        [storage("torch\nFloatStorage", "0", 4), offset, numbers(dims), numbers(strides)].concat();
    [b"ctorch._utils\n_rebuild_tensor_v2\n(", &arguments[..], b"\x89N", b"tR"].concat()
}

/// What is found of this pickle, whose end is added.
fn found(parts: &[&[u8]]) -> FileLayout {
    let pickle = [b"\x80\x02", &parts.concat()[..], b"."].concat();
    read("m.pt", &archive(&pickle).bytes).unwrap()
}

fn whole() -> Vec<u8> {
    tensor(0, &[2, 2], &[2, 1])
}

#[test]
fn names_are_the_ways_to_the_tensors() {
    let whole = &whole()[..];
    let cases: [(&[&[u8]], &[&str]); 11] = [
        (&[whole], &["tensor"]),
        (&[b"}", &text("a"), whole, b"s"], &["a"]),
        (&[b"}K\x05", whole, b"s"], &["5"]),
        (&[b"}\x88", whole, b"s"], &["True"]),
        (&[b"}N", whole, b"s"], &["None"]),
        (&[b"}G\0\0\0\0\0\0\0\0", whole, b"s"], &["<0>"]),
        (&[b"}", &text(""), whole, b"s"], &["tensor"]),
        (&[b"]}", &text("a"), whole, b"sa"], &["0.a"]),
        (&[b"(NN", whole, b"t"], &["2"]),
        // An object of a class that is not known: its attributes.
        (&[b"cmy\nClass\n)\x81}", &text("w"), whole, b"sb"], &["w"]),
        // What an unknown function is called on, and what is put into what it makes.
        (&[b"cmy\nf\n", whole, b"\x85R(", &text("k"), b"K\x01u"], &["0"]),
    ];
    for (pickle, expected) in cases {
        let layout = found(pickle);
        assert_eq!(names(&layout), expected, "{:?}", layout.notes);
    }
}

#[test]
fn a_module_is_named_as_its_state_is() {
    let parameters = [b"}", &text("_parameters")[..], b"}", &text("w"), &whole(), b"ss"].concat();
    assert_eq!(names(&found(&[b"cmy\nNet\n)\x81", &parameters, b"b"])), ["w"]);
    // Outside of an object that is a key as any other.
    assert_eq!(names(&found(&[&parameters])), ["_parameters.w"]);
}

#[test]
fn views_of_a_storage_are_views() {
    let list = |tensors: &[Vec<u8>]| found(&[b"](", &tensors.concat(), b"e"]);
    let part = list(&[tensor(1, &[2], &[1]), tensor(0, &[2, 2], &[1, 2])]);
    assert_eq!(names(&part), ["data/0", "0", "1"]);
    assert_eq!(part.tensors[0].shape, [4]);
    assert_eq!((part.views[0].offset, &part.views[1].strides[..]), (4, &[1, 2][..]));
    let tied = list(&[whole(), whole(), tensor(0, &[4], &[1])]);
    assert_eq!(names(&tied), ["0", "1", "2"]);
    assert_eq!((tied.tensors.len(), tied.views.len()), (1, 2));
    // A row that stands for four is fine; one that stands for more than the file has bytes is not.
    let wide = list(&[tensor(0, &[3, 4], &[0, 1]), tensor(0, &[u32::MAX >> 1, 4], &[0, 1])]);
    assert_eq!(names(&wide), ["data/0", "0"]);
    assert!(notes_of(&wide).contains("repeats its elements"), "{:?}", wide.notes);
    let empty = list(&[tensor(0, &[0, 7], &[7, 1])]);
    assert_eq!(names(&empty), ["data/0", "0"]);
    assert_eq!(empty.views[0].shape, [0, 7]);
}

#[test]
fn a_tensor_that_cannot_be_is_named() {
    let on = |storage: &[u8]| {
        [b"ctorch._utils\n_rebuild_tensor_v2\n(", storage, b"K\0K\x04\x85K\x01\x85\x89NtR"].concat()
    };
    let typed = |element: &[u8]| {
        let storage = storage("torch.storage\nUntypedStorage", "0", 16);
        let head = [b"ctorch._utils\n_rebuild_tensor_v3\n(", &storage[..]].concat();
        [&head[..], b"K\0K\x04\x85K\x01\x85\x89N", element, b"tR"].concat()
    };
    for (pickle, why) in [
        (tensor(1, &[2, 2], &[2, 1]), "outside of its storage"),
        (tensor(u32::MAX, &[2, 2], &[2, 1]), "its offset is no number"),
        (tensor(0, &[2, u32::MAX], &[2, 1]), "its size is no list of numbers"),
        (tensor(0, &[2, 2], &[u32::MAX, 1]), "its strides are no list of numbers"),
        (tensor(0, &[2, 2], &[1]), "more strides than dimensions, or fewer"),
        (tensor(0, &[2, 2], &[i32::MAX as u32, 1]), "outside of its storage"),
        (tensor(0, &[i32::MAX as u32; 3], &[0; 3]), "overflows"),
        (tensor(0, &[1; 65], &[1; 65]), "65 dimensions"),
        (on(&storage("torch\nFloatStorage", "1", 4)), "its storage \"1\" is not in the file"),
        (on(&storage("torch\nFloatStorage", "0", 5)), "its storage \"0\" has only 16 bytes"),
        (on(&storage("torch\nFloatStorage", "0", u32::MAX)), "is no storage"),
        (on(b"N"), "is no storage"),
        (typed(b"ctorch\nfloat7\n"), "its element type is not known"),
        (typed(b"N"), "its element type is not known"),
    ] {
        let layout = found(&[&pickle]);
        assert!(notes_of(&layout).contains(why), "{why}: {:?}", layout.notes);
        assert_eq!(names(&layout), ["data/0"], "{why}");
    }
    let layout = found(&[&typed(b"ctorch\nfloat32\n")]);
    assert_eq!((names(&layout), layout.notes.len()), (vec!["tensor"], 0));
}

#[test]
fn nothing_is_run() {
    let command = [b"cos\nsystem\n", &text("touch /tmp/mgit-was-here")[..], b"\x85R"].concat();
    let layout = found(&[b"(", &command, &whole(), b"t"]);
    assert_eq!(names(&layout), ["1"]);
    assert!(
        notes_of(&layout).contains("\"os.system\": never imported or run"),
        "{:?}",
        layout.notes
    );
    // Called by what rebuilds a tensor of another class.
    let rebuilt = [
        b"ctorch._tensor\n_rebuild_from_type_v2\n(cos\nsystem\ncmy\nT\n",
        &text("touch /tmp/mgit-was-here")[..],
        b"\x85NtR",
    ];
    assert_eq!(names(&found(&[&rebuilt.concat()])), ["data/0"]);
    // A class of torch's own, and what it is rebuilt by.
    let rebuild = b"ctorch._tensor\n_rebuild_from_type_v2\n(ctorch._utils\n_rebuild_parameter\n";
    let typed = [&rebuild[..], b"cmy\nT\n", &whole()[..], b"\x88N\x87NtR"].concat();
    assert_eq!(names(&found(&[&typed])), ["tensor"]);
}

#[test]
fn a_pickle_that_is_not_followed_leaves_its_storages() {
    let bomb = [b"]".as_slice(), &b"2e".repeat(3)].concat();
    let cases: [(&[u8], &str); 20] = [
        (b"", "the pickle has no end"),
        (b"\xffN.", "operation 0xff is not known"),
        (b"S'x'\n.", "operation 0x53 is not known"),
        (b"\x82\x01.", "operation 0x82 is not known"),
        (b"\x80\x09N.", "protocol 9"),
        (b".", "more values than there are"),
        (b"2.", "more values than there are"),
        (b"(2.", "more values than there are"),
        (b"N(R.", "more values than there are"),
        (b"t.", "needs a mark"),
        (b"0.", "more values than there are"),
        (b"h\x01.", "place 1 of its memo is empty"),
        (b"X\xff\xff\xff\xffab.", "4294967295 bytes are named"),
        (b"\x8b\xff\xff\xff\xff.", "4294967295 bytes are named"),
        (b"\x8d\xff\xff\xff\xff\xff\xff\xff\xff.", "18446744073709551615 bytes are named"),
        (b"cos.", "a line without an end"),
        (b"NN\x93.", "a global whose name is no text"),
        (b"}(Nu.", "a key without a value"),
        (b"NNa.", "appended to what is no list"),
        (&bomb, "needs a mark"),
    ];
    for (pickle, why) in cases {
        let layout = read("m.pt", &archive(pickle).bytes).unwrap();
        let notes = notes_of(&layout);
        assert!(notes.contains("data.pkl cannot be followed") && notes.contains(why), "{notes}");
        assert_eq!(names(&layout), ["data/0"]);
    }
}

#[test]
fn bombs_are_bounded() {
    // Lists in lists, a million deep.
    let deep = [&b"]".repeat(1 << 20)[..], &b"a".repeat((1 << 20) - 1)].concat();
    assert_eq!(names(&found(&[&deep])), ["data/0"]);
    // The same with a tensor at the bottom, whose name would be too long.
    let deep = [&b"]".repeat(1 << 18)[..], &whole(), &b"a".repeat(1 << 18)].concat();
    let layout = found(&[&deep]);
    assert_eq!(names(&layout), ["data/0"]);
    assert!(notes_of(&layout).contains("left out: 1 too long name"), "{:?}", layout.notes);
    // A billion laughs: each list holds the one before twice, the first a tensor.
    let mut laughs = [b"]", &whole()[..], b"aq\x00"].concat();
    for level in 0..40u8 {
        let twice = [b']', b'(', b'h', level, b'h', level, b'e', b'q', level + 1];
        laughs.extend(twice);
    }
    let layout = found(&[&laughs]);
    assert!(notes_of(&layout).contains("more values, or longer names"), "{:?}", layout.notes.len());
    assert!(layout.tensors.len() == 1 && layout.views.len() < 1 << 20);
    // What contains itself.
    for pickle in [&b"]q\x00h\x00a"[..], b"}q\x00X\x01\0\0\0ah\x00s", b"cmy\nC\n)\x81q\x00h\x00b"] {
        let layout = found(&[pickle]);
        assert!(notes_of(&layout).contains("looked into once: 1 value"));
    }
    // What rebuilds what rebuilds: followed a few times, else an object with the tensor in it.
    for (times, name) in [(2, "tensor"), (100, "2.2.")] {
        let mut function = b"ctorch._utils\n_rebuild_parameter\n".to_vec();
        let mut arguments = [&whole()[..], b"\x88N\x87"].concat();
        for _ in 0..times {
            arguments = [b"(", &function[..], b"N", &arguments, b"Nt"].concat();
            function = b"ctorch._tensor\n_rebuild_from_type_v2\n".to_vec();
        }
        let layout = found(&[&function, &arguments, b"R"]);
        assert!(layout.tensors.len() == 1 && names(&layout)[0].starts_with(name), "{times}");
    }
    // One value put on the stack again and again; a memo of places far apart.
    let doubled = [b"(N", &b"2".repeat(1 << 20)[..], b"t"].concat();
    assert_eq!(names(&found(&[&doubled])), ["data/0"]);
    assert_eq!(names(&found(&[b"Nr\xff\xff\xff\xffr\0\0\0\x80"])), ["data/0"]);
    // A million names of classes.
    let globals: Vec<u8> = (0..2000).flat_map(|at| format!("cm\nC{at}\n").into_bytes()).collect();
    let layout = found(&[b"(", &globals, b"t"]);
    assert!(notes_of(&layout).contains("and 992 more"), "{:?}", layout.notes);
    // More values than are kept.
    let many = [&b"]".repeat((1 << 22) + 1)[..]].concat();
    assert!(notes_of(&found(&[&many])).contains("makes more than 4194304 values"));
    let many = [b"N", &b"2".repeat(1 << 23)[..]].concat();
    assert!(notes_of(&found(&[&many])).contains("more than 8388608 values on its stack"));
    assert_eq!(FOUR.len(), 16);
}

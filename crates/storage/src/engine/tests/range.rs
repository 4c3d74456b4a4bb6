#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::time::Duration;

use proptest::prelude::*;

use super::*;

/// The keys of the function tests: thirteen, the empty one among them.
const SORT_KEYS: [&[u8]; 13] = [
    b"",
    b"1",
    b"1-abcdefg",
    b"2",
    b"2-abcdefg",
    b"3",
    b"3-efghijk",
    b"4",
    b"4-hijklmn",
    b"5",
    b"5-hijklmn",
    b"6",
    b"7",
];

fn function_test_bed() -> Bed {
    let mut bed = Bed::new();
    let records: Vec<(&[u8], u32)> = SORT_KEYS.iter().map(|key| (*key, 0)).collect();
    // Neighbours on both sides that must never show up.
    bed.fill(b"basic_test_multi_ges", &[(b"x", 0)]);
    bed.fill(b"basic_test_multi_get", &records);
    bed.fill(b"basic_test_multi_geu", &[(b"", 0), (b"x", 0)]);
    bed
}

fn all_but(left_out: &[&str]) -> Vec<String> {
    SORT_KEYS
        .iter()
        .map(|key| String::from_utf8_lossy(key).into_owned())
        .filter(|key| !left_out.contains(&key.as_str()))
        .collect()
}

#[test]
fn multi_get_ranges_and_their_ends() {
    let bed = function_test_bed();
    let hk = b"basic_test_multi_get";
    for reverse in [false, true] {
        let read = |start: &str, stop: &str, start_inclusive, stop_inclusive| {
            let request = MultiGet {
                start_inclusive,
                stop_inclusive,
                reverse,
                ..range(hk, start.as_bytes(), stop.as_bytes())
            };
            let (status, keys) = bed.multi_get(&request);
            assert_eq!(status, Status::Ok);
            keys
        };
        assert_eq!(read("", "", true, false), all_but(&[]));
        assert_eq!(read("", "", true, true), all_but(&[]));
        assert_eq!(read("", "", false, false), all_but(&[""]));
        assert_eq!(read("", "1", true, true), ["", "1"]);
        assert_eq!(read("", "1", true, false), [""]);
        assert_eq!(read("", "1", false, true), ["1"]);
        assert_eq!(read("", "1", false, false), Vec::<String>::new());
        assert_eq!(read("2", "4", true, true), ["2", "2-abcdefg", "3", "3-efghijk", "4"]);
        assert_eq!(read("2", "4", false, false), ["2-abcdefg", "3", "3-efghijk"]);
        assert_eq!(read("1-a", "1-b", true, true), ["1-abcdefg"]);
        assert_eq!(read("7", "", true, false), ["7"]);
        assert_eq!(read("7", "", false, false), Vec::<String>::new());
        // One point, and ranges that are empty.
        assert_eq!(read("5", "5", true, true), ["5"]);
        assert_eq!(read("5", "5", true, false), Vec::<String>::new());
        assert_eq!(read("5", "5", false, true), Vec::<String>::new());
        assert_eq!(read("5", "5", false, false), Vec::<String>::new());
        assert_eq!(read("6", "5", true, true), Vec::<String>::new());
    }
}

#[test]
fn multi_get_filters() {
    let bed = function_test_bed();
    let hk = b"basic_test_multi_get";
    for reverse in [false, true] {
        let read = |kind, pattern: &str, start: &str, stop: &str, start_inclusive| {
            let request = MultiGet {
                sort_key_filter_type: kind,
                sort_key_filter_pattern: Bytes::copy_from_slice(pattern.as_bytes()),
                start_inclusive,
                stop_inclusive: false,
                reverse,
                ..range(hk, start.as_bytes(), stop.as_bytes())
            };
            let (status, keys) = bed.multi_get(&request);
            assert_eq!(status, Status::Ok);
            keys
        };
        for kind in 0..=3 {
            assert_eq!(read(kind, "", "", "", true), all_but(&[]));
        }
        assert_eq!(read(0, "-", "", "", true), all_but(&[]));
        assert_eq!(read(1, "-", "", "", true).len(), 5);
        assert_eq!(read(1, "hij", "", "", true), ["3-efghijk", "4-hijklmn", "5-hijklmn"]);
        assert_eq!(read(1, "x", "", "", true), Vec::<String>::new());
        assert_eq!(read(2, "1", "", "", true), ["1", "1-abcdefg"]);
        assert_eq!(read(2, "1", "1", "", false), ["1-abcdefg"]);
        assert_eq!(read(2, "1", "", "1-", true), ["1"]);
        assert_eq!(read(2, "1", "", "1", true), Vec::<String>::new());
        assert_eq!(read(2, "1", "2", "", true), Vec::<String>::new());
        assert_eq!(read(2, "1-x", "", "", true), Vec::<String>::new());
        assert_eq!(read(3, "lmn", "", "", true), ["4-hijklmn", "5-hijklmn"]);
        assert_eq!(read(3, "7", "", "", true), ["7"]);
        assert_eq!(read(3, "longer than all of the sort keys", "", "", true).len(), 0);
    }
}

#[test]
fn multi_get_argument_errors() {
    let bed = function_test_bed();
    for kind in [-1, 4, i32::MAX] {
        for request in [range(b"h", b"", b""), points(b"h", &[b"a"])] {
            let request = MultiGet { sort_key_filter_type: kind, ..request };
            assert_eq!(bed.multi_get(&request), (Status::InvalidArgument, vec![]));
        }
    }
    let request = range(&vec![b'x'; 65535], b"", b"");
    assert_eq!(bed.multi_get(&request).0, Status::InvalidArgument);
    let request = range(&vec![b'x'; 65534], b"", b"");
    assert_eq!(bed.multi_get(&request), (Status::Ok, vec![]));
}

#[test]
fn multi_get_count_limits() {
    let bed = function_test_bed();
    let hk = b"basic_test_multi_get";
    let read = |max_kv_count, reverse, start: &str, stop: &str| {
        let request =
            MultiGet { max_kv_count, reverse, ..range(hk, start.as_bytes(), stop.as_bytes()) };
        bed.multi_get(&request)
    };
    let keys = |list: &[&str]| list.iter().map(|key| (*key).to_owned()).collect::<Vec<_>>();
    let incomplete = |list| (Status::Incomplete, keys(list));
    assert_eq!(read(4, false, "", ""), incomplete(&["", "1", "1-abcdefg", "2"]));
    assert_eq!(read(4, true, "", ""), incomplete(&["5", "5-hijklmn", "6", "7"]));
    assert_eq!(read(1, false, "5", "6"), incomplete(&["5"]));
    assert_eq!(read(1, true, "5", "6"), incomplete(&["6"]));
    // Exactly as many as there are, at the hash key's end and at the range's.
    for reverse in [false, true] {
        assert_eq!(read(13, reverse, "", "").0, Status::Ok);
        assert_eq!(read(3, reverse, "5", "6"), (Status::Ok, keys(&["5", "5-hijklmn", "6"])));
        assert_eq!(read(0, reverse, "", "").1.len(), 13);
        assert_eq!(read(-5, reverse, "", ""), (Status::Ok, all_but(&[])));
    }
}

#[test]
fn multi_get_size_limits() {
    let mut bed = Bed::new();
    bed.fill(b"h", &[(b"a1", 0), (b"a2", 0), (b"a3", 0)]);
    let read = |max_kv_size, no_value, reverse| {
        let request = MultiGet { max_kv_size, no_value, reverse, ..range(b"h", b"", b"") };
        bed.multi_get(&request)
    };
    // Each record counts 2 + 4 bytes, 2 without its value.
    assert_eq!(read(2, false, false), (Status::Incomplete, vec!["a1".into()]));
    assert_eq!(read(1, false, true), (Status::Incomplete, vec!["a3".into()]));
    assert_eq!(read(7, false, false).1, ["a1", "a2"]);
    assert_eq!(read(12, false, false), (Status::Incomplete, vec!["a1".into(), "a2".into()]));
    assert_eq!(read(13, false, false).0, Status::Ok);
    assert_eq!(read(4, true, false), (Status::Incomplete, vec!["a1".into(), "a2".into()]));
    assert_eq!(read(5, true, false).0, Status::Ok);
    let limits = ReadLimits { max_iteration_size: 6, ..ReadLimits::default() };
    let capped = bed.multi_get_within(&range(b"h", b"", b""), &limits);
    assert_eq!(capped, (Status::Incomplete, vec!["a1".into()]));
    // That cap is not for point mode; the request's own limit is.
    let request = points(b"h", &[b"a1", b"a2", b"a3"]);
    assert_eq!(bed.multi_get_within(&request, &limits).0, Status::Ok);
    let request = MultiGet { max_kv_size: 1, ..request };
    assert_eq!(bed.multi_get(&request), (Status::Incomplete, vec!["a1".into()]));
}

#[test]
fn multi_get_points() {
    let bed = function_test_bed();
    let hk = b"basic_test_multi_get";
    let read = |sort_keys: &[&[u8]], max_kv_count| {
        let request = MultiGet { max_kv_count, ..points(hk, sort_keys) };
        bed.multi_get(&request)
    };
    let wanted: [&[u8]; 6] = [b"7", b"missing", b"1", b"", b"1", b"also missing"];
    assert_eq!(read(&wanted, 0), (Status::Ok, vec!["7".into(), "1".into(), "".into(), "1".into()]));
    // Four live ones: a limit of four is complete although missing ones follow.
    assert_eq!(read(&wanted, 4).0, Status::Ok);
    assert_eq!(read(&wanted, 3), (Status::Incomplete, vec!["7".into(), "1".into(), "".into()]));
    assert_eq!(read(&[b"missing", b"1"], 1), (Status::Ok, vec!["1".into()]));
    let request = MultiGet { no_value: true, reverse: true, ..points(hk, &[b"2", b"1"]) };
    assert_eq!(bed.multi_get(&request).1, ["2", "1"]);
}

#[test]
fn multi_get_many_points() {
    let mut bed = Bed::new();
    let keys: Vec<String> = (0..200).map(|i| format!("{i:03}")).collect();
    let records: Vec<(&[u8], u32)> = keys.iter().map(|key| (key.as_bytes(), 0)).collect();
    bed.fill(b"h", &records);
    let wanted: Vec<&[u8]> = keys.iter().rev().map(|key| key.as_bytes()).collect();
    let (status, found) = bed.multi_get(&points(b"h", &wanted));
    assert_eq!(status, Status::Ok);
    assert!(found.iter().eq(keys.iter().rev()));
}

/// The 3000 records that a read may look at include expired and filtered ones.
#[test]
fn multi_get_iteration_limit() {
    let mut bed = Bed::new();
    let key = |i: usize| format!("{i:05}").into_bytes();
    let expired: Vec<Vec<u8>> = (0..3000).map(key).collect();
    let live: Vec<Vec<u8>> = (3000..3010).map(key).collect();
    let records: Vec<(&[u8], u32)> = expired
        .iter()
        .map(|key| (key.as_slice(), 1))
        .chain(live.iter().map(|key| (key.as_slice(), 0)))
        .collect();
    bed.fill(b"h", &records);
    assert_eq!(bed.multi_get(&range(b"h", b"", b"")), (Status::Incomplete, vec![]));
    let (status, keys) = bed.multi_get(&range(b"h", b"00001", b""));
    assert_eq!((status, keys.len()), (Status::Incomplete, 1));
    let (status, keys) = bed.multi_get(&range(b"h", b"00010", b""));
    assert_eq!((status, keys.len()), (Status::Ok, 10));
    let backwards = MultiGet { reverse: true, ..range(b"h", b"", b"") };
    let (status, keys) = bed.multi_get(&backwards);
    assert_eq!((status, keys.len()), (Status::Incomplete, 10));
    let filtered = MultiGet {
        sort_key_filter_type: 3,
        sort_key_filter_pattern: Bytes::from_static(b"no such"),
        ..backwards
    };
    assert_eq!(bed.multi_get(&filtered), (Status::Incomplete, vec![]));
    // sortkey_count has no such limit.
    let limits = ReadLimits::default();
    assert_eq!(bed.engine().sortkey_count(b"h", NOW, &limits).unwrap(), 10);
    assert_eq!(bed.engine().sortkey_count(b"h", 0, &limits).unwrap(), 3010);
}

/// Java's testScanRangeWithValueExpired: 1000 expired records, then 10 live ones.
#[test]
fn exactly_as_many_as_asked_for_is_complete() {
    let mut bed = Bed::new();
    let expired: Vec<String> = (0..1000).map(|i| format!("expired_{i:04}")).collect();
    let live: Vec<String> = (0..10).map(|i| format!("persistent_{i}")).collect();
    let records: Vec<(&[u8], u32)> = expired
        .iter()
        .map(|key| (key.as_bytes(), 1))
        .chain(live.iter().map(|key| (key.as_bytes(), 0)))
        .collect();
    bed.fill(b"h", &records);
    bed.fill(b"i", &[(b"", 0)]);
    let read = |max_kv_count| {
        let request = MultiGet { max_kv_count, no_value: true, ..range(b"h", b"", b"") };
        let (status, keys) = bed.multi_get(&request);
        (status, keys.len())
    };
    assert_eq!(read(5), (Status::Incomplete, 5));
    assert_eq!(read(10), (Status::Ok, 10));
    assert_eq!(read(100), (Status::Ok, 10));
}

/// Python's test_multi_get_opt_reverse_ok: five steps of ten, stop exclusive.
#[test]
fn stepping_backwards() {
    let mut bed = Bed::new();
    let keys: Vec<String> = (0..50).map(|i| format!("skey_{i:02}")).collect();
    let records: Vec<(&[u8], u32)> = keys.iter().map(|key| (key.as_bytes(), 0)).collect();
    bed.fill(b"g", &[(b"z", 0)]);
    bed.fill(b"h", &records);
    let mut stop = "skey_99".to_owned();
    for step in 0..5 {
        let request = MultiGet {
            max_kv_count: 10,
            reverse: true,
            stop_inclusive: false,
            ..range(b"h", b"skey_00", stop.as_bytes())
        };
        let (status, found) = bed.multi_get(&request);
        let end = 50 - step * 10;
        assert_eq!(found, keys[end - 10..end]);
        let wanted = if step < 4 { Status::Incomplete } else { Status::Ok };
        assert_eq!(status, wanted, "step {step}");
        stop = found[0].clone();
    }
}

#[test]
fn time_limits() {
    let mut bed = Bed::new();
    let keys: Vec<String> = (0..400).map(|i| format!("{i:03}")).collect();
    let records: Vec<(&[u8], u32)> = keys.iter().map(|key| (key.as_bytes(), 0)).collect();
    bed.fill(b"h", &records);
    let mut limits = ReadLimits { time_limit: Some(Duration::ZERO), ..ReadLimits::default() };
    // Looked at after every tenth of the 3000, and every 100 records when counting.
    let (status, found) = bed.multi_get_within(&range(b"h", b"", b""), &limits);
    assert_eq!((status, found.len()), (Status::Incomplete, 300));
    assert_eq!(bed.engine().sortkey_count(b"h", NOW, &limits).unwrap(), -1);
    limits.time_limit = None;
    assert_eq!(bed.engine().sortkey_count(b"h", NOW, &limits).unwrap(), 400);
}

/// Hash keys at the edges of their prefixes, from memory and from files.
#[test]
fn hash_keys_do_not_mix() {
    let mut bed = Bed::new();
    let hash_keys: [&[u8]; 8] =
        [b"", b"a", b"\xff", b"\xff\xff", b"\0", b"\0\0", b"ab", &[0xff; 300]];
    for hash_key in hash_keys {
        bed.fill(hash_key, &[(b"", 0), (b"\xff", 0), (b"\xff\xff", 0), (b"k", 0)]);
    }
    for _ in 0..2 {
        for hash_key in hash_keys {
            for reverse in [false, true] {
                let request = MultiGet {
                    reverse,
                    max_kv_count: 4,
                    no_value: true,
                    ..range(hash_key, b"", b"")
                };
                let result = bed.engine().multi_get(&request, &ReadLimits::default(), NOW);
                let keys: Vec<&[u8]> = result.kvs.iter().map(|kv| &kv.key[..]).collect();
                assert_eq!(keys, [&b""[..], b"k", b"\xff", b"\xff\xff"]);
                assert_eq!(result.status, Status::Ok, "{hash_key:?} {reverse}");
                let prefixed = MultiGet {
                    sort_key_filter_type: 2,
                    sort_key_filter_pattern: Bytes::from_static(b"\xff"),
                    ..request
                };
                let result = bed.engine().multi_get(&prefixed, &ReadLimits::default(), NOW);
                assert_eq!((result.status, result.kvs.len()), (Status::Ok, 2));
            }
            let limits = ReadLimits::default();
            assert_eq!(bed.engine().sortkey_count(hash_key, NOW, &limits).unwrap(), 4);
            assert_eq!(bed.engine().sortkey_count(b"absent", NOW, &limits).unwrap(), 0);
        }
        bed.engine().flush().unwrap();
        bed.engine().compact().unwrap();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Range reads against the obvious way of doing them.
    #[test]
    fn ranges_agree_with_a_model(
        reads in proptest::collection::vec(
            ("[abc]{0,3}", "[abc]{0,3}", any::<(bool, bool, bool, bool)>(), 0i32..6, 0i32..4, "[abc]{0,2}"),
            20,
        ),
        stored in proptest::collection::btree_map("[abc]{0,3}", prop_oneof![Just(0u32), Just(1)], 0..20),
    ) {
        let mut bed = Bed::new();
        let records: Vec<(&[u8], u32)> = stored.iter().map(|(k, e)| (k.as_bytes(), *e)).collect();
        bed.fill(b"g", &[(b"zzz", 0)]);
        bed.fill(b"h", &records);
        bed.fill(b"i", &[(b"", 0)]);
        for (start, stop, (start_inclusive, stop_inclusive, reverse, no_value), max, kind, pattern) in reads {
            let request = MultiGet {
                start_inclusive, stop_inclusive, reverse, no_value,
                max_kv_count: max,
                sort_key_filter_type: kind,
                sort_key_filter_pattern: Bytes::from(pattern.clone()),
                ..range(b"h", start.as_bytes(), stop.as_bytes())
            };
            let in_range = |key: &str| {
                (key > start.as_str() || start_inclusive && key == start)
                    && (stop.is_empty() || key < stop.as_str() || stop_inclusive && key == stop)
                    && (kind != 2 || key.starts_with(&pattern))
            };
            let wanted = |key: &str| match kind {
                1 => key.contains(&pattern),
                3 => key.ends_with(&pattern),
                _ => true,
            };
            let mut candidates: Vec<_> = stored.iter().filter(|(key, _)| in_range(key)).collect();
            if reverse {
                candidates.reverse();
            }
            let mut keys = Vec::new();
            let mut status = Status::Ok;
            for (key, expire_ts) in candidates {
                if max > 0 && keys.len() >= max as usize {
                    status = Status::Incomplete;
                    break;
                }
                if *expire_ts == 0 && wanted(key) {
                    keys.push(key.clone());
                }
            }
            if reverse {
                keys.reverse();
            }
            prop_assert_eq!(bed.multi_get(&request), (status, keys));
        }
    }
}

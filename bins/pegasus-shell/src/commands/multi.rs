//! Operations on several sort keys of one hash key (`spec/admin.md` 1.8).

use pegasus_client::{Filter, MultiGet, MultiGetResult};
use serde_json::{Value, json};

use super::data::{Source, report};
use crate::failure::Failure;
use crate::flags::{Flag, Parsed, parse, switch, valued};
use crate::session::{Session, print};

pub async fn multi_set(session: &mut Session, args: &[Vec<u8>]) -> Result<(), Failure> {
    let Some((hash_key, pairs)) = args.split_first() else {
        return Err(Failure::Usage(None));
    };
    if pairs.is_empty() || pairs.len() % 2 != 0 {
        return Err(Failure::Usage(None));
    }
    let kvs = pairs.chunks_exact(2).filter_map(|pair| match pair {
        [sort_key, value] => Some((sort_key, value)),
        _ => None,
    });
    let table = session.table().await?;
    let receipt = table.multi_set(hash_key, kvs, None).await?;
    report(session, "OK", &[("result", json!("OK"))], &Source::Write(receipt));
    Ok(())
}

pub async fn multi_get(session: &mut Session, args: &[Vec<u8>]) -> Result<(), Failure> {
    let Some((hash_key, sort_keys)) = args.split_first() else {
        return Err(Failure::Usage(None));
    };
    read(session, hash_key, &MultiGet::keys(sort_keys), Show::Pairs).await
}

pub async fn multi_get_sortkeys(session: &mut Session, args: &[Vec<u8>]) -> Result<(), Failure> {
    let [hash_key] = args else {
        return Err(Failure::Usage(None));
    };
    read(session, hash_key, &MultiGet::all().no_value(), Show::SortKeys).await
}

const RANGE: &[Flag] = &[
    valued('a', "start_inclusive"),
    valued('b', "stop_inclusive"),
    valued('s', "sort_key_filter_type"),
    valued('y', "sort_key_filter_pattern"),
    valued('n', "max_count"),
    switch('i', "no_value"),
    switch('r', "reverse"),
];

pub async fn multi_get_range(session: &mut Session, args: &[Vec<u8>]) -> Result<(), Failure> {
    let parsed = parse(args, RANGE)?;
    let [hash_key, start, stop] = parsed.positional.as_slice() else {
        return Err(Failure::Usage(None));
    };
    let start_inclusive = boolean(&parsed, "start_inclusive", true)?;
    let stop_inclusive = boolean(&parsed, "stop_inclusive", false)?;
    let max_count = parsed.number("max_count", -1)?.unwrap_or(-1);
    let (filter, filter_name, pattern) = filter(&parsed)?;
    let mut what = MultiGet::range(start, start_inclusive, stop, stop_inclusive)
        .max_count(max_count)
        .filter(filter);
    if parsed.has("no_value") {
        what = what.no_value();
    }
    if parsed.has("reverse") {
        what = what.reverse();
    }
    if !session.json {
        let mut echo = format!(
            "hash_key: \"{}\"\nstart_sort_key: \"{}\"\nstart_inclusive: {start_inclusive}\n\
             stop_sort_key: \"{}\"\nstop_inclusive: {stop_inclusive}\n\
             sort_key_filter_type: {filter_name}\n",
            session.escape(hash_key),
            session.escape(start),
            session.escape(stop),
        );
        if let Some(pattern) = pattern {
            let shown = session.escape(pattern.as_bytes());
            echo.push_str(&format!("sort_key_filter_pattern: \"{shown}\"\n"));
        }
        echo.push_str(&format!(
            "max_count: {max_count}\nno_value: {}\nreverse: {}\n\n",
            parsed.has("no_value"),
            parsed.has("reverse"),
        ));
        print(&echo);
    }
    let show = if parsed.has("no_value") { Show::KeysOfPairs } else { Show::Pairs };
    read(session, hash_key, &what, show).await
}

fn boolean(parsed: &Parsed, option: &'static str, default: bool) -> Result<bool, Failure> {
    match parsed.text(option).map(|text| text.to_ascii_lowercase()).as_deref() {
        None => Ok(default),
        Some("true") => Ok(true),
        Some("false") => Ok(false),
        Some(other) => Err(Failure::message(format!("ERROR: invalid {option} '{other}'"))),
    }
}

fn filter(parsed: &Parsed) -> Result<(Filter, &'static str, Option<String>), Failure> {
    let Some(kind) = parsed.text("sort_key_filter_type") else {
        return Ok((Filter::All, "no_filter", None));
    };
    let pattern = parsed.text("sort_key_filter_pattern").unwrap_or_default();
    let bytes = pattern.clone().into_bytes().into();
    let (filter, name) = match kind.to_ascii_lowercase().as_str() {
        "anywhere" => (Filter::Anywhere(bytes), "anywhere"),
        "prefix" => (Filter::Prefix(bytes), "prefix"),
        "postfix" => (Filter::Postfix(bytes), "postfix"),
        other => {
            return Err(Failure::message(format!("ERROR: invalid sort_key_filter_type '{other}'")));
        }
    };
    Ok((filter, name, Some(pattern)))
}

#[derive(Clone, Copy)]
enum Show {
    Pairs,
    KeysOfPairs,
    SortKeys,
}

async fn read(
    session: &mut Session,
    hash_key: &[u8],
    what: &MultiGet,
    show: Show,
) -> Result<(), Failure> {
    let table = session.table().await?;
    let result = table.multi_get(hash_key, what).await?;
    let source = Source::read(&table, hash_key, b"");
    let text = render(session, hash_key, &result, show);
    let pairs = result.kvs.iter().map(|(sort_key, value)| {
        let mut pair = json!({ "sort_key": session.escape(sort_key) });
        if let (Show::Pairs, Some(object)) = (show, pair.as_object_mut()) {
            object.insert("value".to_owned(), Value::String(session.escape(value)));
        }
        pair
    });
    let json = [("kvs", Value::Array(pairs.collect())), ("complete", json!(result.complete))];
    report(session, &text, &json, &source);
    Ok(())
}

fn render(session: &Session, hash_key: &[u8], result: &MultiGetResult, show: Show) -> String {
    let hash_key = session.escape(hash_key);
    let mut text = String::new();
    for (sort_key, value) in &result.kvs {
        let sort_key = session.escape(sort_key);
        text.push_str(&match show {
            Show::Pairs => {
                format!("\"{hash_key}\" : \"{sort_key}\" => \"{}\"\n", session.escape(value))
            }
            Show::KeysOfPairs => format!("\"{hash_key}\" : \"{sort_key}\"\n"),
            Show::SortKeys => format!("\"{sort_key}\"\n"),
        });
    }
    if !result.kvs.is_empty() {
        text.push('\n');
    }
    let what = if matches!(show, Show::SortKeys) { "sort keys" } else { "key-value pairs" };
    let end = if result.complete { "completed" } else { "not completed" };
    text.push_str(&format!("{} {what} got, fetch {end}.", result.kvs.len()));
    text
}

pub async fn multi_del(session: &mut Session, args: &[Vec<u8>]) -> Result<(), Failure> {
    let Some((hash_key, sort_keys)) = args.split_first() else {
        return Err(Failure::Usage(None));
    };
    if sort_keys.is_empty() {
        return Err(Failure::Usage(None));
    }
    let table = session.table().await?;
    let (count, receipt) = table.multi_del(hash_key, sort_keys).await?;
    let text = format!("{count} key-value pairs deleted.");
    report(session, &text, &[("deleted", json!(count))], &Source::Write(receipt));
    Ok(())
}

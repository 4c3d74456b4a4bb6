//! Operations on single keys (`spec/admin.md` 1.8).

use std::time::Duration;

use pegasus_client::{Receipt, Status, Table, Ttl};
use serde_json::{Map, Value, json};

use crate::failure::Failure;
use crate::output;
use crate::session::{Session, print};

/// Who did it: printed after every data operation.
pub enum Source {
    Write(Receipt),
    /// The partition and its primary, as the client knows them after the read.
    Read {
        app_id: i32,
        partition_index: i32,
        server: String,
    },
}

impl Source {
    pub fn read(table: &Table, hash_key: &[u8], sort_key: &[u8]) -> Source {
        let (partition, primary) = table.locate(hash_key, sort_key);
        Source::Read {
            app_id: partition.app_id,
            partition_index: partition.index,
            server: primary.map(|node| node.to_string()).unwrap_or_default(),
        }
    }

    fn fields(&self) -> Vec<(&'static str, Value)> {
        match self {
            Source::Write(receipt) => vec![
                ("app_id", json!(receipt.partition.app_id)),
                ("partition_index", json!(receipt.partition.index)),
                ("decree", json!(receipt.decree.0)),
                ("server", json!(receipt.server.as_ref())),
            ],
            Source::Read { app_id, partition_index, server } => vec![
                ("app_id", json!(app_id)),
                ("partition_index", json!(partition_index)),
                ("server", json!(server)),
            ],
        }
    }
}

/// Prints a result and its trailer; in JSON, all in one object.
pub fn report(session: &Session, text: &str, result: &[(&str, Value)], source: &Source) {
    if session.json {
        let result = result.iter().map(|(key, value)| ((*key).to_owned(), value.clone()));
        let source = source.fields().into_iter().map(|(key, value)| (key.to_owned(), value));
        let object: Map<String, Value> = result.chain(source).collect();
        print(&output::pretty(&Value::Object(object)));
        return;
    }
    let mut out = format!("{text}\n\n");
    for (key, value) in source.fields() {
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        out.push_str(&format!("{key:<15} : {value}\n"));
    }
    print(&out);
}

fn two_keys(args: &[Vec<u8>]) -> Result<(&[u8], &[u8]), Failure> {
    match args {
        [hash_key, sort_key] => Ok((hash_key, sort_key)),
        _ => Err(Failure::Usage(None)),
    }
}

pub async fn set(session: &mut Session, args: &[Vec<u8>]) -> Result<(), Failure> {
    let (hash_key, sort_key, value, ttl) = match args {
        [hash_key, sort_key, value] => (hash_key, sort_key, value, None),
        [hash_key, sort_key, value, ttl] => (hash_key, sort_key, value, Some(parse_ttl(ttl)?)),
        _ => return Err(Failure::Usage(None)),
    };
    let table = session.table().await?;
    let receipt = table.set(hash_key, sort_key, value, ttl).await?;
    report(session, "OK", &[("result", json!("OK"))], &Source::Write(receipt));
    Ok(())
}

fn parse_ttl(word: &[u8]) -> Result<Duration, Failure> {
    let text = String::from_utf8_lossy(word);
    match text.parse::<u32>() {
        Ok(seconds) if seconds > 0 => Ok(Duration::from_secs(u64::from(seconds))),
        _ => Err(Failure::message(format!("ERROR: invalid ttl {text}"))),
    }
}

pub async fn get(session: &mut Session, args: &[Vec<u8>]) -> Result<(), Failure> {
    let (hash_key, sort_key) = two_keys(args)?;
    let table = session.table().await?;
    let value = table.get(hash_key, sort_key).await?;
    let source = Source::read(&table, hash_key, sort_key);
    let shown = value.map(|value| session.escape(&value));
    let text = shown.as_ref().map_or("Not found".to_owned(), |value| format!("\"{value}\""));
    let result = [("found", json!(shown.is_some())), ("value", json!(shown))];
    report(session, &text, &result, &source);
    Ok(())
}

pub async fn del(session: &mut Session, args: &[Vec<u8>]) -> Result<(), Failure> {
    let (hash_key, sort_key) = two_keys(args)?;
    let table = session.table().await?;
    let receipt = table.del(hash_key, sort_key).await?;
    report(session, "OK", &[("result", json!("OK"))], &Source::Write(receipt));
    Ok(())
}

pub async fn exist(session: &mut Session, args: &[Vec<u8>]) -> Result<(), Failure> {
    let (hash_key, sort_key) = two_keys(args)?;
    let table = session.table().await?;
    let exists = table.exist(hash_key, sort_key).await?;
    let source = Source::read(&table, hash_key, sort_key);
    let text = if exists { "True" } else { "False" };
    report(session, text, &[("exist", json!(exists))], &source);
    Ok(())
}

pub async fn ttl(session: &mut Session, args: &[Vec<u8>]) -> Result<(), Failure> {
    let (hash_key, sort_key) = two_keys(args)?;
    let table = session.table().await?;
    let ttl = table.ttl(hash_key, sort_key).await?;
    let source = Source::read(&table, hash_key, sort_key);
    let (text, value) = match ttl {
        Ttl::NotFound => ("Not found".to_owned(), Value::Null),
        Ttl::Infinite => ("Infinite".to_owned(), json!(-1)),
        Ttl::Seconds(seconds) => (seconds.to_string(), json!(seconds)),
    };
    let result = [("found", json!(ttl != Ttl::NotFound)), ("ttl_seconds", value)];
    report(session, &text, &result, &source);
    Ok(())
}

pub async fn count(session: &mut Session, args: &[Vec<u8>]) -> Result<(), Failure> {
    let [hash_key] = args else {
        return Err(Failure::Usage(None));
    };
    let table = session.table().await?;
    let count = match table.sort_key_count(hash_key).await {
        Err(error) if error.status() == Some(Status::Incomplete) => {
            return Err(Failure::message("ERROR: it takes too long to count sortkey"));
        }
        other => other?,
    };
    let source = Source::read(&table, hash_key, b"");
    report(session, &count.to_string(), &[("count", json!(count))], &source);
    Ok(())
}

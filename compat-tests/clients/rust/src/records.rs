//! The records that every client writes alike, and what is compared when they are read.
use rdkafka::message::{BorrowedMessage, Headers, Message};

pub fn text(i: usize, size: usize) -> Vec<u8> {
    (0..size).map(|j| b'a' + ((i * 31 + j * 7) % 26) as u8).collect()
}

pub fn key(i: usize) -> Option<Vec<u8>> {
    (i % 6 != 5 || i % 10 == 9).then(|| format!("key-{i}").into_bytes())
}

pub fn value(i: usize) -> Option<Vec<u8>> {
    let size = if i == 38 { 120_000 } else { [0, 1, 1024, 100][i % 4] };
    (i % 10 != 9).then(|| text(i, size))
}

pub fn headers(i: usize) -> Vec<(String, String)> {
    match i % 3 {
        0 => vec![("h1".into(), format!("v-{i}")), ("h2".into(), String::new())],
        _ => vec![],
    }
}

/// What differs between the message and record `i`; `base` is the timestamp of record 0 in ms, or 0 for any.
pub fn check(m: &BorrowedMessage, i: usize, base: i64, with_headers: bool) -> Result<(), String> {
    if m.offset() != i as i64 {
        return Err(format!("offset {} where {i} was due", m.offset()));
    }
    if m.key() != key(i).as_deref() {
        return Err(format!("key of {i} is {:?}", m.key()));
    }
    if m.payload() != value(i).as_deref() {
        return Err(format!("value of {i} differs: {:?} bytes", m.payload().map(<[u8]>::len)));
    }
    if base != 0 && m.timestamp().to_millis() != Some(base + i as i64 * 1000) {
        return Err(format!("timestamp of {i} is {:?}", m.timestamp()));
    }
    let mut found = vec![];
    if let Some(all) = m.headers() {
        for h in all.iter() {
            let content = h.value.map(|v| String::from_utf8_lossy(v).into_owned());
            found.push((h.key.to_string(), content.unwrap_or_else(|| "null".into())));
        }
    }
    let wanted = if with_headers { headers(i) } else { vec![] };
    if found != wanted {
        return Err(format!("headers of {i} are {found:?}"));
    }
    Ok(())
}

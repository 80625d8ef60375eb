//! The rdkafka crate under test: takes commands on standard input and answers each with a line, as ../README.md says.
mod records;

use futures_executor::block_on;
use rdkafka::admin::{AdminClient, AdminOptions, AlterConfig, NewPartitions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Header, Message, OwnedHeaders};
use rdkafka::producer::{BaseRecord, Producer, ProducerContext, ThreadedProducer};
use rdkafka::{ClientContext, Offset, TopicPartitionList};
use std::collections::{BTreeSet, HashMap};
use std::io::BufRead;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

const WAIT: Duration = Duration::from_secs(120);
const SETTLE: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(100);

type Outcome<T = ()> = Result<T, String>;

fn text<E: std::fmt::Display>(error: E) -> String {
    error.to_string()
}

fn equal<T: PartialEq + std::fmt::Debug>(what: &str, found: T, wanted: T) -> Outcome {
    if found == wanted {
        Ok(())
    } else {
        Err(format!("{what} is {found:?}, not {wanted:?}"))
    }
}

/// Keeps what became of each record, in the order in which librdkafka tells.
#[derive(Clone, Default)]
struct Placed(Arc<Mutex<Vec<Result<i64, KafkaError>>>>);

impl ClientContext for Placed {}

impl ProducerContext for Placed {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult, _: ()) {
        self.0.lock().unwrap().push(match result {
            Ok(message) => Ok(message.offset()),
            Err((error, _)) => Err(error.clone()),
        });
    }
}

struct Sender {
    producer: ThreadedProducer<Placed>,
    placed: Placed,
}

struct Row {
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    timestamp: Option<i64>,
    headers: Vec<(String, String)>,
}

impl Row {
    fn plain(value: Vec<u8>) -> Row {
        Row { key: None, value: Some(value), timestamp: None, headers: vec![] }
    }
}

struct Client {
    bootstrap: String,
}

impl Client {
    fn config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.bootstrap).set("log_level", "2");
        config
    }

    fn sender(&self, codec: &str, idempotent: bool) -> Outcome<Sender> {
        let placed = Placed::default();
        let producer = self
            .config()
            .set("acks", "all")
            .set("linger.ms", "5")
            .set("compression.codec", codec)
            .set("enable.idempotence", idempotent.to_string())
            .set("message.max.bytes", "20000000")
            .create_with_context(placed.clone())
            .map_err(text)?;
        Ok(Sender { producer, placed })
    }

    fn consumer(&self, group: &str) -> Outcome<BaseConsumer> {
        self.config()
            .set("group.id", group)
            .set("auto.offset.reset", "earliest")
            .set("enable.auto.commit", "false")
            .set("fetch.wait.max.ms", "100")
            .set("session.timeout.ms", "6000")
            .set("heartbeat.interval.ms", "500")
            .set("max.partition.fetch.bytes", "30000")
            .create()
            .map_err(text)
    }

    fn subscribed(&self, topic: &str, group: &str) -> Outcome<BaseConsumer> {
        let consumer = self.consumer(group)?;
        consumer.subscribe(&[topic]).map_err(text)?;
        Ok(consumer)
    }

    fn admin(&self) -> Outcome<AdminClient<DefaultClientContext>> {
        self.config().create().map_err(text)
    }
}

impl Sender {
    fn send(&self, topic: &str, rows: Vec<Row>) -> Result<Vec<i64>, KafkaError> {
        self.placed.0.lock().unwrap().clear();
        for row in &rows {
            let mut record = BaseRecord::<[u8], [u8]>::to(topic).partition(0);
            let mut headers = OwnedHeaders::new();
            for (key, value) in &row.headers {
                headers = headers.insert(Header { key, value: Some(value) });
            }
            if !row.headers.is_empty() {
                record = record.headers(headers);
            }
            record.key = row.key.as_deref();
            record.payload = row.value.as_deref();
            record.timestamp = row.timestamp;
            self.producer.send(record).map_err(|(error, _)| error)?;
        }
        self.producer.flush(WAIT)?;
        let placed: Vec<_> = self.placed.0.lock().unwrap().drain(..).collect();
        placed.into_iter().collect()
    }
}

/// A topic as some client wrote it, and the next record due from it.
struct Source {
    base: i64,
    headers: bool,
    next: usize,
}

/// What a consumer is told of in passing while a broker is away.
fn passing(error: &KafkaError) -> bool {
    use RDKafkaErrorCode::{AllBrokersDown, BrokerTransportFailure, PartitionEOF, Resolve};
    matches!(error.rdkafka_error_code(), Some(BrokerTransportFailure | AllBrokersDown | PartitionEOF | Resolve))
}

fn consume(consumer: &BaseConsumer, sources: &mut HashMap<String, Source>, to: usize) -> Outcome {
    let mut missing: usize = sources.values().map(|s| to.saturating_sub(s.next)).sum();
    let deadline = Instant::now() + WAIT;
    while missing > 0 {
        match consumer.poll(POLL) {
            Some(Ok(message)) => {
                let source = sources.get_mut(message.topic()).ok_or("a topic nobody asked for")?;
                if source.next < to {
                    records::check(&message, source.next, source.base, source.headers)
                        .map_err(|error| format!("{}: {error}", message.topic()))?;
                    source.next += 1;
                    missing -= 1;
                }
            }
            Some(Err(error)) if !passing(&error) => return Err(text(error)),
            _ => {}
        }
        if Instant::now() > deadline {
            return Err(format!("{missing} records have not come in time"));
        }
    }
    Ok(())
}

fn until(what: &str, fact: impl Fn() -> bool) -> Outcome {
    let deadline = Instant::now() + WAIT;
    while !fact() {
        if Instant::now() > deadline {
            return Err(format!("{what} has not come in time"));
        }
        thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// Asks again for a while: a change shows on a broker when its metadata has come, which may be after the answer.
fn settled(check: impl Fn() -> Outcome) -> Outcome {
    let deadline = Instant::now() + SETTLE;
    loop {
        match check() {
            Err(_) if Instant::now() < deadline => thread::sleep(Duration::from_millis(50)),
            outcome => return outcome,
        }
    }
}

/// A consumer in a group that polls in a thread of its own until it is dropped, which leaves the group.
struct Member {
    partitions: Arc<Mutex<BTreeSet<i32>>>,
    leaving: Arc<AtomicBool>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Member {
    fn start(consumer: BaseConsumer) -> Member {
        let partitions = Arc::new(Mutex::new(BTreeSet::new()));
        let leaving = Arc::new(AtomicBool::new(false));
        let (shown, stop) = (partitions.clone(), leaving.clone());
        let thread = thread::spawn(move || {
            while !stop.load(Ordering::SeqCst) {
                drop(consumer.poll(POLL));
                if let Ok(list) = consumer.assignment() {
                    *shown.lock().unwrap() = list.elements().iter().map(|e| e.partition()).collect();
                }
            }
        });
        Member { partitions, leaving, thread: Some(thread) }
    }

    fn partitions(&self) -> BTreeSet<i32> {
        self.partitions.lock().unwrap().clone()
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.leaving.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Client {
    fn produce(&self, topic: &str, codec: &str, count: usize, base: i64, headers: bool, idempotent: bool) -> Outcome {
        let rows = (0..count)
            .map(|i| Row {
                key: records::key(i),
                value: records::value(i),
                timestamp: (base != 0).then_some(base + i as i64 * 1000),
                headers: if headers { records::headers(i) } else { vec![] },
            })
            .collect();
        let offsets = self.sender(codec, idempotent)?.send(topic, rows).map_err(text)?;
        equal("offsets", offsets, (0..count as i64).collect())
    }

    fn read(&self, mut sources: HashMap<String, Source>, to: usize) -> Outcome {
        let consumer = self.consumer("unused")?;
        let mut list = TopicPartitionList::new();
        for (topic, source) in &sources {
            list.add_partition_offset(topic, 0, Offset::Offset(source.next as i64)).map_err(text)?;
        }
        consumer.assign(&list).map_err(text)?;
        consume(&consumer, &mut sources, to)
    }

    fn offset_at(&self, topic: &str, timestamp: i64) -> Outcome<Option<i64>> {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, 0, Offset::Offset(timestamp)).map_err(text)?;
        let found = self.consumer("unused")?.offsets_for_times(list, WAIT).map_err(text)?;
        let offset = found.elements()[0].offset().to_raw();
        Ok(offset)
    }

    fn group(&self, topic: &str, group: &str, source: Source, to: usize) -> Outcome {
        let consumer = self.subscribed(topic, group)?;
        consume(&consumer, &mut HashMap::from([(topic.to_string(), source)]), to)?;
        commit(&consumer, topic, to, &format!("at {to}"))
    }

    fn committed(&self, topic: &str, group: &str, wanted: i64) -> Outcome {
        let mut list = TopicPartitionList::new();
        list.add_partition(topic, 0);
        let found = self.consumer(group)?.committed_offsets(list, WAIT).map_err(text)?;
        let row = &found.elements()[0];
        equal("committed", row.offset(), Offset::Offset(wanted))?;
        equal("metadata", row.metadata(), &format!("at {wanted}"))
    }

    fn members(&self, topic: &str, group: &str) -> Outcome {
        let a = Member::start(self.subscribed(topic, group)?);
        until("all for the first member", || a.partitions().len() == 4)?;
        let b = Member::start(self.subscribed(topic, group)?);
        until("a half for each", || {
            let (one, two) = (a.partitions(), b.partitions());
            one.len() == 2 && two.len() == 2 && one.is_disjoint(&two)
        })?;
        drop(b);
        until("all for the one that stays", || a.partitions().len() == 4)
    }

    fn large(&self, topic: &str, size: usize) -> Outcome {
        let sender = self.sender("none", false)?;
        sender.send(topic, vec![Row::plain(records::text(1, size))]).map_err(text)?;
        match sender.send(topic, vec![Row::plain(records::text(1, 2 * size))]) {
            Err(error) if error.rdkafka_error_code() == Some(RDKafkaErrorCode::MessageSizeTooLarge) => {}
            other => return Err(format!("a record of twice the size gave {other:?}")),
        }
        let consumer = self.consumer("unused")?;
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, 0, Offset::Beginning).map_err(text)?;
        consumer.assign(&list).map_err(text)?;
        let deadline = Instant::now() + WAIT;
        while Instant::now() < deadline {
            if let Some(Ok(message)) = consumer.poll(POLL) {
                let same = message.payload() == Some(&records::text(1, size));
                return equal("sameness of what came back", same, true);
            }
        }
        Err("it has not come in time".into())
    }

    fn through(&self, topic: &str, group: &str, count: usize, idempotent: bool) -> Outcome {
        let sender = self.sender("none", idempotent)?;
        let consumer = self.subscribed(topic, group)?;
        let (mut seen, mut position) = (0, 0);
        for (from, to) in [(0, count / 2), (count / 2, count)] {
            if from > 0 {
                commit(&consumer, topic, from, "")?;
                println!("half");
                let mut line = String::new();
                std::io::stdin().read_line(&mut line).map_err(text)?;
            }
            let deadline = Instant::now() + 2 * WAIT;
            for i in from..to {
                while let Err(error) = sender.send(topic, vec![Row::plain(i.to_string().into_bytes())]) {
                    if Instant::now() > deadline {
                        return Err(text(error));
                    }
                }
            }
            while seen < to {
                if let Some(Ok(message)) = consumer.poll(POLL) {
                    if message.offset() < position {
                        continue; // read again after it had to join again
                    }
                    position = message.offset() + 1;
                    let n: usize = String::from_utf8_lossy(message.payload().unwrap_or_default()).parse().map_err(text)?;
                    if n + 1 == seen && !idempotent {
                        continue; // sent again after an answer was lost
                    }
                    equal("the next record", n, seen)?;
                    seen += 1;
                }
                if Instant::now() > deadline {
                    return Err(format!("only {seen} of {to} came in time"));
                }
            }
        }
        commit(&consumer, topic, count, "")
    }

    fn administration(&self, topic: &str, group: &str, empty: &str) -> Outcome {
        let admin = self.admin()?;
        let options = AdminOptions::new().request_timeout(Some(WAIT));
        let fine = |results: Vec<Result<String, (String, RDKafkaErrorCode)>>| -> Outcome {
            results.into_iter().try_for_each(|r| r.map(drop).map_err(|(name, code)| format!("{name}: {code}")))
        };
        let partitions = || -> Outcome<usize> {
            let metadata = admin.inner().fetch_metadata(Some(topic), WAIT).map_err(text)?;
            Ok(metadata.topics()[0].partitions().len())
        };
        let resource = ResourceSpecifier::Topic(topic);
        let retention = || -> Outcome<Option<String>> {
            let found = block_on(admin.describe_configs([&resource], &options)).map_err(text)?;
            let config = found.into_iter().next().ok_or("no answer")?.map_err(text)?;
            Ok(config.get("retention.ms").and_then(|entry| entry.value.clone()))
        };
        let listed = |name: &str| -> Outcome<Option<String>> {
            let list = admin.inner().fetch_group_list(None, WAIT).map_err(text)?;
            let state = list.groups().iter().find(|g| g.name() == name).map(|g| g.state().to_string());
            Ok(state)
        };
        let new = NewTopic::new(topic, 3, TopicReplication::Fixed(1)).set("retention.ms", "70000");
        fine(block_on(admin.create_topics([&new], &options)).map_err(text)?)?;
        settled(|| equal("partitions", partitions()?, 3))?;
        settled(|| equal("retention.ms", retention()?.as_deref(), Some("70000")))?;
        let change = AlterConfig::new(ResourceSpecifier::Topic(topic)).set("retention.ms", "80000");
        for result in block_on(admin.alter_configs([&change], &options)).map_err(text)? {
            result.map_err(|(_, code)| format!("alter: {code}"))?;
        }
        settled(|| equal("retention.ms", retention()?.as_deref(), Some("80000")))?;
        fine(block_on(admin.create_partitions([&NewPartitions::new(topic, 5)], &options)).map_err(text)?)?;
        settled(|| equal("partitions", partitions()?, 5))?;
        self.produce(topic, "none", 5, 0, false, false)?;
        let mut before = TopicPartitionList::new();
        before.add_partition_offset(topic, 0, Offset::Offset(3)).map_err(text)?;
        block_on(admin.delete_records(&before, &options)).map_err(text)?;
        let (low, _) = admin.inner().fetch_watermarks(topic, 0, WAIT).map_err(text)?;
        equal("earliest offset", low, 3)?;
        equal("state of the group", listed(group)?.as_deref(), Some("Empty"))?;
        fine(block_on(admin.delete_groups(&[empty], &options)).map_err(text)?)?;
        equal("listing", listed(empty)?, None)?;
        fine(block_on(admin.delete_topics(&[topic], &options)).map_err(text)?)?;
        settled(|| equal("partitions left", partitions()?, 0))
    }

    fn run(&self, words: &[&str]) -> Outcome {
        let number = |n: usize| words[n].parse::<i64>().map_err(text);
        let size = |n: usize| words[n].parse::<usize>().map_err(text);
        let flag = |n: usize| words[n] == "1";
        let single = |base, headers, next| -> HashMap<String, Source> {
            HashMap::from([(words[1].to_string(), Source { base, headers, next })])
        };
        match (words[0], words.len()) {
            ("produce", 7) => self.produce(words[1], words[2], size(3)?, number(4)?, flag(5), flag(6)),
            ("read", 6) => self.read(single(number(4)?, flag(5), size(2)?), size(3)?),
            ("cross", n) if n > 2 => {
                let mut sources = HashMap::new();
                for word in &words[2..] {
                    let part: Vec<&str> = word.split(',').collect();
                    let base = part[1].parse().map_err(text)?;
                    sources.insert(part[0].to_string(), Source { base, headers: part[2] == "1", next: 0 });
                }
                self.read(sources, size(1)?)
            }
            ("time", 6) => {
                let found = self.offset_at(words[1], number(4)? + number(2)? * 1000 - 500)?;
                equal("the offset found by time", found, Some(number(2)?))?;
                self.read(single(number(4)?, flag(5), size(2)?), size(3)?)
            }
            ("group", 7) => {
                let source = Source { base: number(5)?, headers: flag(6), next: size(3)? };
                self.group(words[1], words[2], source, size(4)?)
            }
            ("committed", 4) => self.committed(words[1], words[2], number(3)?),
            ("members", 3) => self.members(words[1], words[2]),
            ("large", 3) => self.large(words[1], size(2)?),
            ("admin", 4) => self.administration(words[1], words[2], words[3]),
            ("through", 5) => self.through(words[1], words[2], size(3)?, flag(4)),
            _ => Err("unknown command".into()),
        }
    }
}

fn commit(consumer: &BaseConsumer, topic: &str, offset: usize, metadata: &str) -> Outcome {
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic, 0, Offset::Offset(offset as i64)).map_err(text)?;
    if let Some(mut row) = list.find_partition(topic, 0) {
        row.set_metadata(metadata);
    }
    consumer.commit(&list, CommitMode::Sync).map_err(text)
}

fn main() {
    let client = Client { bootstrap: std::env::args().nth(1).expect("the broker's address") };
    let mut line = String::new();
    // Locked for each line only: `through` reads one of its own.
    while { line.clear(); std::io::stdin().lock().read_line(&mut line).unwrap_or(0) > 0 } {
        let words: Vec<&str> = line.split_whitespace().collect();
        match client.run(&words) {
            Ok(()) => println!("ok"),
            Err(reason) => println!("FAIL {}", reason.replace('\n', " ")),
        }
    }
}

// The sarama client under test.
package main

import (
	"context"
	"errors"
	"fmt"
	"sort"
	"sync"
	"time"

	"barnabas/clients/harness"

	"github.com/IBM/sarama"
)

type library struct{ bootstrap string }

func (l library) config() *sarama.Config {
	c := sarama.NewConfig()
	c.Version = sarama.MaxVersion
	c.Metadata.Retry.Max = 40
	c.Consumer.MaxWaitTime = 100 * time.Millisecond
	c.Consumer.Fetch.Default = 30000
	c.Consumer.Offsets.Initial = sarama.OffsetOldest
	c.Consumer.Offsets.AutoCommit.Enable = false
	c.Consumer.Group.Session.Timeout = 6 * time.Second
	c.Consumer.Group.Heartbeat.Interval = 500 * time.Millisecond
	c.Consumer.Return.Errors = true
	c.Producer.Return.Successes = true
	c.Producer.Retry.Max = 40
	c.Producer.RequiredAcks = sarama.WaitForAll
	c.Producer.Partitioner = sarama.NewManualPartitioner
	c.Producer.MaxMessageBytes = 20 << 20
	c.Net.MaxOpenRequests = 1
	return c
}

type producer struct{ sarama.SyncProducer }

func (l library) Producer(codec string, idempotent bool) (harness.Producer, error) {
	c := l.config()
	c.Producer.Compression = map[string]sarama.CompressionCodec{"none": sarama.CompressionNone,
		"gzip": sarama.CompressionGZIP, "snappy": sarama.CompressionSnappy, "lz4": sarama.CompressionLZ4,
		"zstd": sarama.CompressionZSTD}[codec]
	c.Producer.Idempotent = idempotent
	p, err := sarama.NewSyncProducer([]string{l.bootstrap}, c)
	return producer{p}, err
}

func encoded(b []byte) sarama.Encoder {
	if b == nil {
		return nil
	}
	return sarama.ByteEncoder(b)
}

func (p producer) Send(records []harness.Record) ([]int64, error) {
	var all []*sarama.ProducerMessage
	for _, r := range records {
		m := &sarama.ProducerMessage{Topic: r.Topic, Key: encoded(r.Key), Value: encoded(r.Value)}
		if r.Timestamp != 0 {
			m.Timestamp = time.UnixMilli(r.Timestamp)
		}
		for _, h := range r.Headers {
			m.Headers = append(m.Headers, sarama.RecordHeader{Key: []byte(h[0]), Value: []byte(h[1])})
		}
		all = append(all, m)
	}
	if err := p.SendMessages(all); err != nil {
		var several sarama.ProducerErrors
		if errors.As(err, &several) {
			return nil, several[0].Err
		}
		return nil, err
	}
	var offsets []int64
	for _, m := range all {
		offsets = append(offsets, m.Offset)
	}
	return offsets, nil
}

func (p producer) Close() { p.SyncProducer.Close() }

func record(m *sarama.ConsumerMessage) harness.Record {
	r := harness.Record{Topic: m.Topic, Partition: int(m.Partition), Offset: m.Offset, Key: m.Key, Value: m.Value,
		Timestamp: m.Timestamp.UnixMilli()}
	for _, h := range m.Headers {
		r.Headers = append(r.Headers, [2]string{string(h.Key), string(h.Value)})
	}
	return r
}

// consumer serves both kinds: messages arrive in one channel, whoever feeds it.
type consumer struct {
	messages chan *sarama.ConsumerMessage
	stop     func()
	lock     sync.Mutex
	session  sarama.ConsumerGroupSession
	topic    string
}

func (c *consumer) Poll() ([]harness.Record, error) {
	select {
	case m := <-c.messages:
		return []harness.Record{record(m)}, nil
	case <-time.After(200 * time.Millisecond):
		return nil, nil
	}
}

func (c *consumer) Assigned() []int {
	c.lock.Lock()
	defer c.lock.Unlock()
	var out []int
	if c.session != nil {
		for _, p := range c.session.Claims()[c.topic] {
			out = append(out, int(p))
		}
	}
	sort.Ints(out)
	return out
}

func (c *consumer) Commit(topic string, offset int64, metadata string) error {
	c.lock.Lock()
	defer c.lock.Unlock()
	if c.session == nil {
		return fmt.Errorf("no session to commit in")
	}
	c.session.MarkOffset(topic, 0, offset, metadata)
	c.session.Commit() // says nothing; the driver asks for what is committed
	return nil
}

func (c *consumer) Close() { c.stop() }

func (l library) Assigned(from map[string]int64) (harness.Consumer, error) {
	inner, err := sarama.NewConsumer([]string{l.bootstrap}, l.config())
	if err != nil {
		return nil, err
	}
	c := &consumer{messages: make(chan *sarama.ConsumerMessage, 64)}
	done := make(chan bool)
	var partitions []sarama.PartitionConsumer
	var feeders sync.WaitGroup
	c.stop = func() {
		close(done)
		for _, p := range partitions {
			p.AsyncClose()
		}
		feeders.Wait()
		inner.Close()
	}
	for topic, offset := range from {
		p, err := inner.ConsumePartition(topic, 0, offset)
		if err != nil {
			c.stop()
			return nil, err
		}
		partitions = append(partitions, p)
		feeders.Add(2)
		go func() {
			defer feeders.Done()
			for m := range p.Messages() {
				select {
				case c.messages <- m:
				case <-done:
				}
			}
		}()
		go func() {
			defer feeders.Done()
			for range p.Errors() {
			}
		}()
	}
	return c, nil
}

type handler struct{ *consumer }

func (h handler) Setup(s sarama.ConsumerGroupSession) error {
	h.lock.Lock()
	defer h.lock.Unlock()
	h.session = s
	return nil
}

func (h handler) Cleanup(sarama.ConsumerGroupSession) error {
	h.lock.Lock()
	defer h.lock.Unlock()
	h.session = nil
	return nil
}

func (h handler) ConsumeClaim(s sarama.ConsumerGroupSession, claim sarama.ConsumerGroupClaim) error {
	for {
		select {
		case m, more := <-claim.Messages():
			if !more {
				return nil
			}
			select {
			case h.messages <- m:
			case <-s.Context().Done():
				return nil
			}
		case <-s.Context().Done():
			return nil
		}
	}
}

func (l library) Subscribed(topic, group string) (harness.Consumer, error) {
	g, err := sarama.NewConsumerGroup([]string{l.bootstrap}, group, l.config())
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	c := &consumer{messages: make(chan *sarama.ConsumerMessage, 64), topic: topic}
	var runs sync.WaitGroup
	runs.Add(2)
	go func() {
		defer runs.Done()
		for ctx.Err() == nil {
			if err := g.Consume(ctx, []string{topic}, handler{c}); err != nil {
				time.Sleep(100 * time.Millisecond) // the broker is away; ask again
			}
		}
	}()
	go func() {
		defer runs.Done()
		for range g.Errors() {
		}
	}()
	c.stop = func() {
		cancel()
		g.Close()
		runs.Wait()
	}
	return c, nil
}

func (l library) client() (sarama.Client, error) {
	return sarama.NewClient([]string{l.bootstrap}, l.config())
}

func (l library) OffsetAt(topic string, timestamp int64) (int64, error) {
	c, err := l.client()
	if err != nil {
		return 0, err
	}
	defer c.Close()
	return c.GetOffset(topic, 0, timestamp)
}

func (l library) Committed(topic, group string) (int64, string, error) {
	a, err := sarama.NewClusterAdmin([]string{l.bootstrap}, l.config())
	if err != nil {
		return 0, "", err
	}
	defer a.Close()
	offsets, err := a.ListConsumerGroupOffsets(group, map[string][]int32{topic: {0}})
	if err != nil {
		return 0, "", err
	}
	block := offsets.GetBlock(topic, 0)
	if block.Err != sarama.ErrNoError {
		return 0, "", block.Err
	}
	return block.Offset, block.Metadata, nil
}

func (l library) TooLarge(err error) bool { return errors.Is(err, sarama.ErrMessageSizeTooLarge) }

type admin struct {
	sarama.ClusterAdmin
	l library
}

func (l library) Admin() (harness.Admin, error) {
	a, err := sarama.NewClusterAdmin([]string{l.bootstrap}, l.config())
	return admin{a, l}, err
}

func (a admin) Create(topic string, partitions int, config map[string]string) error {
	values := map[string]*string{}
	for name, value := range config {
		values[name] = &value
	}
	return a.CreateTopic(topic, &sarama.TopicDetail{NumPartitions: int32(partitions), ReplicationFactor: 1,
		ConfigEntries: values}, false)
}

func (a admin) Partitions(topic string) (int, error) {
	topics, err := a.DescribeTopics([]string{topic})
	if err != nil {
		return 0, err
	}
	if topics[0].Err != sarama.ErrNoError {
		return 0, topics[0].Err
	}
	return len(topics[0].Partitions), nil
}

func (a admin) Config(topic, name string) (string, error) {
	entries, err := a.DescribeConfig(sarama.ConfigResource{Type: sarama.TopicResource, Name: topic, ConfigNames: []string{name}})
	if err != nil || len(entries) != 1 {
		return "", fmt.Errorf("%d entries, %v", len(entries), err)
	}
	return entries[0].Value, nil
}

func (a admin) SetConfig(topic, name, value string) error {
	return a.IncrementalAlterConfig(sarama.TopicResource, topic, map[string]sarama.IncrementalAlterConfigsEntry{
		name: {Operation: sarama.IncrementalAlterConfigsOperationSet, Value: &value}}, false)
}

func (a admin) SetPartitions(topic string, count int) error {
	return a.CreatePartitions(topic, int32(count), nil, false)
}

func (a admin) DeleteRecords(topic string, before int64) error {
	return a.ClusterAdmin.DeleteRecords(topic, map[int32]int64{0: before})
}

func (a admin) Earliest(topic string) (int64, error) { return a.l.OffsetAt(topic, sarama.OffsetOldest) }

func (a admin) Groups() ([]string, error) {
	groups, err := a.ListConsumerGroups()
	var out []string
	for name := range groups {
		out = append(out, name)
	}
	return out, err
}

func (a admin) GroupState(group string) (string, error) {
	groups, err := a.DescribeConsumerGroups([]string{group})
	if err != nil {
		return "", err
	}
	return groups[0].State, nil
}

func (a admin) DeleteGroup(group string) error { return a.DeleteConsumerGroup(group) }

func (a admin) Delete(topic string) error { return a.DeleteTopic(topic) }

func (a admin) Close() { a.ClusterAdmin.Close() }

func main() {
	harness.Main(func(bootstrap string) harness.Library { return library{bootstrap} })
}

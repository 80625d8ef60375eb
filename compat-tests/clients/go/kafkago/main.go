// The segmentio/kafka-go client under test. Its Reader keeps what it is assigned to itself, so that members of a group
// are made of its ConsumerGroup and one Reader for each partition.
package main

import (
	"context"
	"errors"
	"fmt"
	"sort"
	"sync"
	"time"

	"barnabas/clients/harness"

	"github.com/segmentio/kafka-go"
)

type library struct{ bootstrap string }

var background = context.Background()

func (l library) client() *kafka.Client {
	return &kafka.Client{Addr: kafka.TCP(l.bootstrap), Timeout: harness.Wait, Transport: &kafka.Transport{}}
}

// producer remembers the offsets that its Writer is told of.
type producer struct {
	*kafka.Writer
	lock    sync.Mutex
	offsets []int64
}

type first struct{}

func (first) Balance(kafka.Message, ...int) int { return 0 }

func (l library) Producer(codec string, _ bool) (harness.Producer, error) {
	codecs := map[string]kafka.Compression{"gzip": kafka.Gzip, "snappy": kafka.Snappy, "lz4": kafka.Lz4, "zstd": kafka.Zstd}
	p := &producer{}
	p.Writer = &kafka.Writer{Addr: kafka.TCP(l.bootstrap), Balancer: first{}, MaxAttempts: 3, RequiredAcks: kafka.RequireAll,
		Compression: codecs[codec], BatchSize: 10, BatchBytes: 20 << 20, BatchTimeout: 5 * time.Millisecond,
		Transport: &kafka.Transport{}, // its own, so that no other producer's connections are met
		Completion: func(messages []kafka.Message, err error) {
			p.lock.Lock()
			defer p.lock.Unlock()
			for _, m := range messages {
				p.offsets = append(p.offsets, m.Offset)
			}
		}}
	return p, nil
}

func (p *producer) Send(records []harness.Record) ([]int64, error) {
	var all []kafka.Message
	for _, r := range records {
		m := kafka.Message{Topic: r.Topic, Key: r.Key, Value: r.Value}
		if r.Timestamp != 0 {
			m.Time = time.UnixMilli(r.Timestamp)
		}
		for _, h := range r.Headers {
			m.Headers = append(m.Headers, kafka.Header{Key: h[0], Value: []byte(h[1])})
		}
		all = append(all, m)
	}
	p.offsets = nil
	if err := p.WriteMessages(background, all...); err != nil {
		var several kafka.WriteErrors
		if errors.As(err, &several) {
			for _, e := range several {
				if e != nil {
					return nil, e
				}
			}
		}
		return nil, err
	}
	p.lock.Lock()
	defer p.lock.Unlock()
	if len(p.offsets) != len(all) {
		return nil, fmt.Errorf("%d of %d completed", len(p.offsets), len(all))
	}
	return p.offsets, nil
}

func (p *producer) Close() {
	p.Writer.Close()
	p.Transport.(*kafka.Transport).CloseIdleConnections()
}

type consumer struct {
	messages   chan kafka.Message
	stop       func()
	lock       sync.Mutex
	generation *kafka.Generation
	topic      string
}

func (c *consumer) Poll() ([]harness.Record, error) {
	select {
	case m := <-c.messages:
		r := harness.Record{Topic: m.Topic, Partition: m.Partition, Offset: m.Offset, Key: m.Key, Value: m.Value,
			Timestamp: m.Time.UnixMilli()}
		for _, h := range m.Headers {
			r.Headers = append(r.Headers, [2]string{h.Key, string(h.Value)})
		}
		return []harness.Record{r}, nil
	case <-time.After(200 * time.Millisecond):
		return nil, nil
	}
}

func (c *consumer) Assigned() []int {
	c.lock.Lock()
	defer c.lock.Unlock()
	var out []int
	if c.generation != nil {
		for _, a := range c.generation.Assignments[c.topic] {
			out = append(out, a.ID)
		}
	}
	sort.Ints(out)
	return out
}

// Commit has no metadata: the library sends none.
func (c *consumer) Commit(topic string, offset int64, _ string) error {
	for deadline := time.Now().Add(harness.Wait); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		c.lock.Lock()
		g := c.generation
		c.lock.Unlock()
		if g != nil {
			return g.CommitOffsets(map[string]map[int]int64{topic: {0: offset}})
		}
	}
	return fmt.Errorf("no generation to commit in")
}

func (c *consumer) Close() { c.stop() }

// feed reads one partition into the channel until ctx is done.
func (l library) feed(ctx context.Context, to chan kafka.Message, topic string, partition int, offset int64) {
	r := kafka.NewReader(kafka.ReaderConfig{Brokers: []string{l.bootstrap}, Topic: topic, Partition: partition,
		MinBytes: 1, MaxBytes: 16 << 20, MaxWait: 100 * time.Millisecond, QueueCapacity: 8})
	defer r.Close()
	if r.SetOffset(offset) != nil {
		return
	}
	for {
		m, err := r.ReadMessage(ctx)
		if ctx.Err() != nil {
			return
		}
		if err == nil {
			select {
			case to <- m:
			case <-ctx.Done():
				return
			}
		}
	}
}

func (l library) Assigned(from map[string]int64) (harness.Consumer, error) {
	ctx, cancel := context.WithCancel(background)
	c := &consumer{messages: make(chan kafka.Message, 16)}
	var feeders sync.WaitGroup
	c.stop = func() { cancel(); feeders.Wait() }
	for topic, offset := range from {
		feeders.Add(1)
		go func() { defer feeders.Done(); l.feed(ctx, c.messages, topic, 0, offset) }()
	}
	return c, nil
}

func (l library) Subscribed(topic, group string) (harness.Consumer, error) {
	g, err := kafka.NewConsumerGroup(kafka.ConsumerGroupConfig{ID: group, Brokers: []string{l.bootstrap}, Topics: []string{topic},
		HeartbeatInterval: 500 * time.Millisecond, SessionTimeout: 6 * time.Second, JoinGroupBackoff: 200 * time.Millisecond,
		StartOffset: kafka.FirstOffset})
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(background)
	c := &consumer{messages: make(chan kafka.Message, 16), topic: topic}
	done := make(chan bool)
	go func() {
		defer close(done)
		for {
			generation, err := g.Next(ctx)
			if ctx.Err() != nil || errors.Is(err, kafka.ErrGroupClosed) {
				return
			}
			if err != nil {
				continue
			}
			c.lock.Lock()
			c.generation = generation
			c.lock.Unlock()
			for _, a := range generation.Assignments[topic] {
				generation.Start(func(ctx context.Context) { l.feed(ctx, c.messages, topic, a.ID, a.Offset) })
			}
		}
	}()
	c.stop = func() { cancel(); g.Close(); <-done }
	return c, nil
}

func (l library) OffsetAt(topic string, timestamp int64) (int64, error) {
	at, err := l.client().ListOffsets(background, &kafka.ListOffsetsRequest{Topics: map[string][]kafka.OffsetRequest{
		topic: {kafka.TimeOffsetOf(0, time.UnixMilli(timestamp))}}})
	if err != nil {
		return 0, err
	}
	for offset := range at.Topics[topic][0].Offsets {
		return offset, at.Topics[topic][0].Error
	}
	return -1, at.Topics[topic][0].Error
}

func (l library) Committed(topic, group string) (int64, string, error) {
	answer, err := l.client().OffsetFetch(background, &kafka.OffsetFetchRequest{GroupID: group, Topics: map[string][]int{topic: {0}}})
	if err != nil {
		return 0, "", err
	}
	p := answer.Topics[topic][0]
	return p.CommittedOffset, p.Metadata, errors.Join(answer.Error, p.Error)
}

func (l library) TooLarge(err error) bool { return errors.Is(err, kafka.MessageSizeTooLarge) }

type admin struct {
	*kafka.Client
	l library
}

func (l library) Admin() (harness.Admin, error) { return admin{l.client(), l}, nil }

func (a admin) Create(topic string, partitions int, config map[string]string) error {
	t := kafka.TopicConfig{Topic: topic, NumPartitions: partitions, ReplicationFactor: 1}
	for name, value := range config {
		t.ConfigEntries = append(t.ConfigEntries, kafka.ConfigEntry{ConfigName: name, ConfigValue: value})
	}
	answer, err := a.CreateTopics(background, &kafka.CreateTopicsRequest{Topics: []kafka.TopicConfig{t}})
	if err != nil {
		return err
	}
	return answer.Errors[topic]
}

// Partitions asks with a client of its own: one that was used before answers from what it knows.
func (a admin) Partitions(topic string) (int, error) {
	answer, err := a.l.client().Metadata(background, &kafka.MetadataRequest{Topics: []string{topic}})
	if err != nil {
		return 0, err
	}
	return len(answer.Topics[0].Partitions), answer.Topics[0].Error
}

func (a admin) Config(topic, name string) (string, error) {
	answer, err := a.DescribeConfigs(background, &kafka.DescribeConfigsRequest{Resources: []kafka.DescribeConfigRequestResource{
		{ResourceType: kafka.ResourceTypeTopic, ResourceName: topic, ConfigNames: []string{name}}}})
	if err != nil {
		return "", err
	}
	if answer.Resources[0].Error != nil || len(answer.Resources[0].ConfigEntries) != 1 {
		return "", fmt.Errorf("%d entries, %v", len(answer.Resources[0].ConfigEntries), answer.Resources[0].Error)
	}
	return answer.Resources[0].ConfigEntries[0].ConfigValue, nil
}

func (a admin) SetConfig(topic, name, value string) error {
	answer, err := a.IncrementalAlterConfigs(background, &kafka.IncrementalAlterConfigsRequest{
		Resources: []kafka.IncrementalAlterConfigsRequestResource{{ResourceType: kafka.ResourceTypeTopic, ResourceName: topic,
			Configs: []kafka.IncrementalAlterConfigsRequestConfig{{Name: name, Value: value,
				ConfigOperation: kafka.ConfigOperationSet}}}}})
	if err != nil {
		return err
	}
	return answer.Resources[0].Error
}

func (a admin) SetPartitions(topic string, count int) error {
	answer, err := a.CreatePartitions(background, &kafka.CreatePartitionsRequest{
		Topics: []kafka.TopicPartitionsConfig{{Name: topic, Count: int32(count),
			TopicPartitionAssignments: []kafka.TopicPartitionAssignment{{BrokerIDs: []int32{1}}, {BrokerIDs: []int32{1}}}}}})
	if err != nil {
		return err
	}
	return answer.Errors[topic]
}

func (a admin) DeleteRecords(string, int64) error { return harness.ErrLacks }

func (a admin) Earliest(string) (int64, error) { return 0, harness.ErrLacks }

func (a admin) Groups() ([]string, error) {
	answer, err := a.ListGroups(background, &kafka.ListGroupsRequest{})
	if err != nil {
		return nil, err
	}
	var out []string
	for _, g := range answer.Groups {
		out = append(out, g.GroupID)
	}
	return out, answer.Error
}

func (a admin) GroupState(group string) (string, error) {
	answer, err := a.DescribeGroups(background, &kafka.DescribeGroupsRequest{GroupIDs: []string{group}})
	if err != nil {
		return "", err
	}
	return answer.Groups[0].GroupState, answer.Groups[0].Error
}

func (a admin) DeleteGroup(group string) error {
	answer, err := a.DeleteGroups(background, &kafka.DeleteGroupsRequest{GroupIDs: []string{group}})
	if err != nil {
		return err
	}
	return answer.Errors[group]
}

func (a admin) Delete(topic string) error {
	answer, err := a.DeleteTopics(background, &kafka.DeleteTopicsRequest{Topics: []string{topic}})
	if err != nil {
		return err
	}
	return answer.Errors[topic]
}

func (a admin) Close() {}

func main() {
	harness.NilIsEmpty = true // the library hands out both as nil
	harness.Main(func(bootstrap string) harness.Library { return library{bootstrap} })
}

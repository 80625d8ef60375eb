// The franz-go client under test.
package main

import (
	"context"
	"errors"
	"sort"
	"sync"
	"time"

	"barnabas/clients/harness"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

type franz struct{ bootstrap string }

var background = context.Background()

func (f franz) client(options ...kgo.Opt) (*kgo.Client, error) {
	return kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(f.bootstrap)}, options...)...)
}

type producer struct{ *kgo.Client }

func (f franz) Producer(codec string, idempotent bool) (harness.Producer, error) {
	codecs := map[string]kgo.CompressionCodec{"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(),
		"snappy": kgo.SnappyCompression(), "lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression()}
	options := []kgo.Opt{kgo.ProducerBatchCompression(codecs[codec]), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ProducerBatchMaxBytes(20 << 20), kgo.ProducerLinger(20 * time.Millisecond)}
	if !idempotent {
		options = append(options, kgo.DisableIdempotentWrite(), kgo.MaxProduceRequestsInflightPerBroker(1))
	}
	cl, err := f.client(options...)
	return producer{cl}, err
}

func (p producer) Send(records []harness.Record) ([]int64, error) {
	var all []*kgo.Record
	for _, r := range records {
		k := &kgo.Record{Topic: r.Topic, Key: r.Key, Value: r.Value}
		if r.Timestamp != 0 {
			k.Timestamp = time.UnixMilli(r.Timestamp)
		}
		for _, h := range r.Headers {
			k.Headers = append(k.Headers, kgo.RecordHeader{Key: h[0], Value: []byte(h[1])})
		}
		all = append(all, k)
	}
	ctx, cancel := context.WithTimeout(background, harness.Wait)
	defer cancel()
	results := p.ProduceSync(ctx, all...)
	if err := results.FirstErr(); err != nil {
		return nil, err
	}
	var offsets []int64
	for _, r := range all {
		offsets = append(offsets, r.Offset)
	}
	return offsets, nil
}

type consumer struct {
	*kgo.Client
	lock     sync.Mutex
	assigned map[int32]bool
}

func (c *consumer) Poll() ([]harness.Record, error) {
	ctx, cancel := context.WithTimeout(background, 200*time.Millisecond)
	defer cancel()
	fetches := c.PollFetches(ctx)
	var out []harness.Record
	fetches.EachRecord(func(r *kgo.Record) {
		h := harness.Record{Topic: r.Topic, Partition: int(r.Partition), Offset: r.Offset, Key: r.Key, Value: r.Value,
			Timestamp: r.Timestamp.UnixMilli()}
		for _, header := range r.Headers {
			h.Headers = append(h.Headers, [2]string{header.Key, string(header.Value)})
		}
		out = append(out, h)
	})
	if len(out) > 0 {
		return out, nil // an error may come beside records; it comes again
	}
	for _, e := range fetches.Errors() {
		if !errors.Is(e.Err, context.DeadlineExceeded) && !kerr.IsRetriable(e.Err) {
			return nil, e.Err
		}
	}
	return nil, nil
}

func (c *consumer) Assigned() []int {
	c.lock.Lock()
	defer c.lock.Unlock()
	var out []int
	for p := range c.assigned {
		out = append(out, int(p))
	}
	sort.Ints(out)
	return out
}

// Commit leaves metadata to the library, which writes its own.
func (c *consumer) Commit(topic string, offset int64, _ string) error {
	var failure error
	c.CommitOffsetsSync(background, map[string]map[int32]kgo.EpochOffset{topic: {0: {Epoch: -1, Offset: offset}}},
		func(_ *kgo.Client, _ *kmsg.OffsetCommitRequest, answer *kmsg.OffsetCommitResponse, err error) {
			failure = err
			if err == nil {
				for _, t := range answer.Topics {
					for _, p := range t.Partitions {
						failure = errors.Join(failure, kerr.ErrorForCode(p.ErrorCode))
					}
				}
			}
		})
	return failure
}

func (c *consumer) Close() {
	c.Client.Close() // leaves the group
}

func (f franz) Assigned(from map[string]int64) (harness.Consumer, error) {
	partitions := map[string]map[int32]kgo.Offset{}
	for topic, offset := range from {
		partitions[topic] = map[int32]kgo.Offset{0: kgo.NewOffset().At(offset)}
	}
	cl, err := f.client(kgo.ConsumePartitions(partitions), kgo.FetchMaxWait(100*time.Millisecond),
		kgo.FetchMaxPartitionBytes(30000))
	return &consumer{Client: cl}, err
}

func (f franz) Subscribed(topic, group string) (harness.Consumer, error) {
	c := &consumer{assigned: map[int32]bool{}}
	change := func(to bool) func(context.Context, *kgo.Client, map[string][]int32) {
		return func(_ context.Context, _ *kgo.Client, topics map[string][]int32) {
			c.lock.Lock()
			defer c.lock.Unlock()
			for _, p := range topics[topic] {
				if to {
					c.assigned[p] = true
				} else {
					delete(c.assigned, p)
				}
			}
		}
	}
	cl, err := f.client(kgo.ConsumeTopics(topic), kgo.ConsumerGroup(group), kgo.DisableAutoCommit(),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.SessionTimeout(6*time.Second),
		kgo.HeartbeatInterval(500*time.Millisecond), kgo.FetchMaxWait(100*time.Millisecond),
		kgo.OnPartitionsAssigned(change(true)), kgo.OnPartitionsRevoked(change(false)), kgo.OnPartitionsLost(change(false)))
	c.Client = cl
	return c, err
}

func (f franz) admin() (*kadm.Client, error) {
	cl, err := f.client()
	if err != nil {
		return nil, err
	}
	return kadm.NewClient(cl), nil
}

func (f franz) OffsetAt(topic string, timestamp int64) (int64, error) {
	a, err := f.admin()
	if err != nil {
		return 0, err
	}
	defer a.Close()
	offsets, err := a.ListOffsetsAfterMilli(background, timestamp, topic)
	if err != nil {
		return 0, err
	}
	at, _ := offsets.Lookup(topic, 0)
	return at.Offset, at.Err
}

func (f franz) Committed(topic, group string) (int64, string, error) {
	a, err := f.admin()
	if err != nil {
		return 0, "", err
	}
	defer a.Close()
	offsets, err := a.FetchOffsets(background, group)
	if err != nil {
		return 0, "", err
	}
	at, _ := offsets.Lookup(topic, 0)
	return at.At, "", at.Err // the metadata is the library's own: its member id
}

func (f franz) TooLarge(err error) bool { return errors.Is(err, kerr.MessageTooLarge) }

type admin struct {
	*kadm.Client
	f franz
}

func (f franz) Admin() (harness.Admin, error) {
	a, err := f.admin()
	return admin{a, f}, err
}

func (a admin) Create(topic string, partitions int, config map[string]string) error {
	values := map[string]*string{}
	for name, value := range config {
		values[name] = &value
	}
	_, err := a.CreateTopic(background, int32(partitions), 1, values, topic)
	return err
}

// Partitions asks with a client of its own: one that was used before may answer from what it knows.
func (a admin) Partitions(topic string) (int, error) {
	fresh, err := a.f.admin()
	if err != nil {
		return 0, err
	}
	defer fresh.Close()
	topics, err := fresh.ListTopics(background, topic)
	if err == nil {
		err = topics[topic].Err
	}
	return len(topics[topic].Partitions), err
}

func (a admin) Config(topic, name string) (string, error) {
	configs, err := a.DescribeTopicConfigs(background, topic)
	if err != nil {
		return "", err
	}
	for _, c := range configs[0].Configs {
		if c.Key == name {
			return *c.Value, configs[0].Err
		}
	}
	return "", configs[0].Err
}

func (a admin) SetConfig(topic, name, value string) error {
	results, err := a.AlterTopicConfigs(background, []kadm.AlterConfig{{Op: kadm.SetConfig, Name: name, Value: &value}}, topic)
	if err == nil {
		err = results[0].Err
	}
	return err
}

func (a admin) SetPartitions(topic string, count int) error {
	results, err := a.UpdatePartitions(background, count, topic)
	if err == nil {
		err = results[topic].Err
	}
	return err
}

func (a admin) DeleteRecords(topic string, before int64) error {
	results, err := a.Client.DeleteRecords(background, kadm.Offsets{topic: {0: {Topic: topic, At: before}}})
	if err == nil {
		err = results[topic][0].Err
	}
	return err
}

func (a admin) Earliest(topic string) (int64, error) {
	offsets, err := a.ListStartOffsets(background, topic)
	at, _ := offsets.Lookup(topic, 0)
	return at.Offset, err
}

func (a admin) Groups() ([]string, error) {
	groups, err := a.ListGroups(background)
	return groups.Groups(), err
}

func (a admin) GroupState(group string) (string, error) {
	groups, err := a.DescribeGroups(background, group)
	return groups[group].State, err
}

func (a admin) DeleteGroup(group string) error {
	_, err := a.Client.DeleteGroup(background, group)
	return err
}

func (a admin) Delete(topic string) error {
	_, err := a.DeleteTopic(background, topic)
	return err
}

func main() {
	harness.Main(func(bootstrap string) harness.Library { return franz{bootstrap} })
}

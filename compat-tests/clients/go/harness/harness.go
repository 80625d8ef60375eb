package harness

import (
	"bufio"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// Wait bounds every command.
const Wait = 120 * time.Second

// Settle bounds the time in which a change of metadata shows.
const Settle = 60 * time.Second

// Producer sends records one after another and gives the offset of each.
type Producer interface {
	Send(records []Record) ([]int64, error)
	Close()
}

// Consumer polls; an empty answer within about 200 ms is no error. Assigned is of the topic that was subscribed to.
type Consumer interface {
	Poll() ([]Record, error)
	Assigned() []int
	Commit(topic string, offset int64, metadata string) error
	Close()
}

// Library is a client under test.
type Library interface {
	Producer(codec string, idempotent bool) (Producer, error)
	// Assigned reads partition 0 of each topic from its offset.
	Assigned(from map[string]int64) (Consumer, error)
	Subscribed(topic, group string) (Consumer, error)
	OffsetAt(topic string, timestamp int64) (int64, error)
	Committed(topic, group string) (int64, string, error)
	// TooLarge tells whether this is the broker's MESSAGE_TOO_LARGE.
	TooLarge(err error) bool
	Admin() (Admin, error)
}

// Admin is the administrative calls of a library.
type Admin interface {
	Create(topic string, partitions int, config map[string]string) error
	Partitions(topic string) (int, error)
	Config(topic, name string) (string, error)
	SetConfig(topic, name, value string) error
	SetPartitions(topic string, count int) error
	// DeleteRecords gives ErrLacks where the library has no such call.
	DeleteRecords(topic string, before int64) error
	Earliest(topic string) (int64, error)
	Groups() ([]string, error)
	GroupState(group string) (string, error)
	DeleteGroup(group string) error
	Delete(topic string) error
	Close()
}

// ErrLacks says that a library has no such call; the step is left out.
var ErrLacks = fmt.Errorf("the library has no such call")

func produce(l Library, topic, codec string, count int, base int64, headers, idempotent bool) error {
	p, err := l.Producer(codec, idempotent)
	if err != nil {
		return err
	}
	defer p.Close()
	var all []Record
	for i := 0; i < count; i++ {
		all = append(all, Formula(topic, i, base, headers))
	}
	offsets, err := p.Send(all)
	if err != nil {
		return err
	}
	for i, offset := range offsets {
		if offset != int64(i) {
			return fmt.Errorf("record %d got offset %d", i, offset)
		}
	}
	return nil
}

// Source is a topic as another client wrote it.
type Source struct {
	base    int64
	headers bool
	next    int
}

func consume(c Consumer, sources map[string]*Source, to int) error {
	missing, deadline := 0, time.Now().Add(Wait)
	for _, s := range sources {
		missing += to - s.next
	}
	for missing > 0 {
		records, err := c.Poll()
		if err != nil {
			return err
		}
		for _, r := range records {
			s := sources[r.Topic]
			if s.next >= to {
				continue
			}
			if err := Check(r, s.next, s.base, s.headers); err != nil {
				return fmt.Errorf("%s: %w", r.Topic, err)
			}
			s.next++
			missing--
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%d records have not come in time", missing)
		}
	}
	return nil
}

func read(l Library, topic string, from, to int, base int64, headers bool) error {
	c, err := l.Assigned(map[string]int64{topic: int64(from)})
	if err != nil {
		return err
	}
	defer c.Close()
	return consume(c, map[string]*Source{topic: {base, headers, from}}, to)
}

func cross(l Library, words []string) error {
	from, sources := map[string]int64{}, map[string]*Source{}
	for _, word := range words[1:] {
		part := strings.Split(word, ",")
		from[part[0]] = 0
		sources[part[0]] = &Source{integer(part[1]), part[2] == "1", 0}
	}
	c, err := l.Assigned(from)
	if err != nil {
		return err
	}
	defer c.Close()
	return consume(c, sources, int(integer(words[0])))
}

func atTime(l Library, topic string, index, to int, base int64, headers bool) error {
	offset, err := l.OffsetAt(topic, base+int64(index)*1000-500)
	if err != nil {
		return err
	}
	if offset != int64(index) {
		return fmt.Errorf("offset %d found by time where %d was due", offset, index)
	}
	return read(l, topic, index, to, base, headers)
}

func group(l Library, topic, name string, from, to int, base int64, headers bool) error {
	c, err := l.Subscribed(topic, name)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := consume(c, map[string]*Source{topic: {base, headers, from}}, to); err != nil {
		return err
	}
	return c.Commit(topic, int64(to), fmt.Sprintf("at %d", to))
}

func committed(l Library, topic, group string, want int64) error {
	offset, metadata, err := l.Committed(topic, group)
	if err != nil {
		return err
	}
	if offset != want || (metadata != "" && metadata != fmt.Sprintf("at %d", want)) {
		return fmt.Errorf("committed is %d, %q", offset, metadata)
	}
	return nil
}

// member polls until it is told to stop, and answers what it is assigned whenever it is asked.
type member struct {
	stop, done chan bool
	c          Consumer
	failure    error
}

func startMember(l Library, topic, group string) (*member, error) {
	c, err := l.Subscribed(topic, group)
	if err != nil {
		return nil, err
	}
	m := &member{make(chan bool), make(chan bool), c, nil}
	go func() {
		defer close(m.done)
		for {
			select {
			case <-m.stop:
				return
			default:
			}
			if _, err := c.Poll(); err != nil {
				m.failure = err
				return
			}
		}
	}()
	return m, nil
}

func (m *member) leave() error {
	close(m.stop)
	<-m.done
	m.c.Close()
	return m.failure
}

func await(what string, members []*member, fact func() bool) error {
	for deadline := time.Now().Add(Wait); !fact(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			var have []string
			for _, m := range members {
				have = append(have, fmt.Sprint(m.c.Assigned(), m.failure))
			}
			return fmt.Errorf("%s has not come in time: %v", what, have)
		}
	}
	return nil
}

func members(l Library, topic, group string) error {
	a, err := startMember(l, topic, group)
	if err != nil {
		return err
	}
	if err = await("all for the first member", []*member{a}, func() bool { return len(a.c.Assigned()) == 4 }); err != nil {
		a.leave()
		return err
	}
	b, err := startMember(l, topic, group)
	if err == nil {
		err = await("a half for each", []*member{a, b}, func() bool {
			both := map[int]bool{}
			first, second := a.c.Assigned(), b.c.Assigned()
			for _, p := range append(append([]int{}, first...), second...) {
				both[p] = true
			}
			return len(first) == 2 && len(second) == 2 && len(both) == 4
		})
		if left := b.leave(); err == nil {
			err = left
		}
	}
	if err == nil {
		err = await("all for the one that stays", []*member{a}, func() bool { return len(a.c.Assigned()) == 4 })
	}
	if left := a.leave(); err == nil {
		err = left
	}
	return err
}

func large(l Library, topic string, size int) error {
	p, err := l.Producer("none", false)
	if err != nil {
		return err
	}
	defer p.Close()
	if _, err := p.Send([]Record{{Topic: topic, Value: text(1, size)}}); err != nil {
		return err
	}
	if _, err := p.Send([]Record{{Topic: topic, Value: text(1, 2*size)}}); err == nil || !l.TooLarge(err) {
		return fmt.Errorf("a record of twice the size gave %v", err)
	}
	c, err := l.Assigned(map[string]int64{topic: 0})
	if err != nil {
		return err
	}
	defer c.Close()
	for deadline := time.Now().Add(Wait); time.Now().Before(deadline); {
		records, err := c.Poll()
		if err != nil {
			return err
		}
		if len(records) > 0 {
			if !sameBytes(records[0].Value, text(1, size)) {
				return fmt.Errorf("%d bytes came back, or others", len(records[0].Value))
			}
			return nil
		}
	}
	return fmt.Errorf("it has not come in time")
}

func through(l Library, topic, group string, count int, idempotent bool, said *bufio.Scanner) error {
	p, err := l.Producer("none", idempotent)
	if err != nil {
		return err
	}
	defer p.Close()
	c, err := l.Subscribed(topic, group)
	if err != nil {
		return err
	}
	defer c.Close()
	seen, position := 0, int64(0)
	send := func(from, to int) error {
		for i := from; i < to; i++ {
			var err error
			for deadline := time.Now().Add(2*Wait); ; time.Sleep(50 * time.Millisecond) {
				if _, err = p.Send([]Record{{Topic: topic, Value: []byte(strconv.Itoa(i))}}); err == nil || time.Now().After(deadline) {
					break
				}
			}
			if err != nil {
				return err
			}
		}
		for deadline := time.Now().Add(2*Wait); seen < to; {
			records, err := c.Poll()
			if err != nil && time.Now().After(deadline) {
				return err
			}
			for _, r := range records {
				if r.Offset < position {
					continue // read again after it had to join again
				}
				position = r.Offset + 1
				n, _ := strconv.Atoi(string(r.Value))
				if n == seen-1 && !idempotent {
					continue // sent again after an answer was lost
				}
				if n != seen {
					return fmt.Errorf("%d at offset %d where %d was due", n, r.Offset, seen)
				}
				seen++
			}
			if time.Now().After(deadline) {
				return fmt.Errorf("only %d of %d came in time", seen, to)
			}
		}
		return nil
	}
	if err := send(0, count/2); err != nil {
		return err
	}
	// Some libraries go back to what is committed when the broker was away.
	if err := c.Commit(topic, int64(count/2), ""); err != nil {
		return err
	}
	fmt.Println("half")
	said.Scan()
	if err := send(count/2, count); err != nil {
		return err
	}
	return c.Commit(topic, int64(count), "")
}

// settled asks again for a while: a change shows on a broker when its metadata has come, which may be after the answer.
func settled(step func() error) func() error {
	return func() error {
		var err error
		for deadline := time.Now().Add(Settle); ; time.Sleep(50 * time.Millisecond) {
			if err = step(); err == nil || err == ErrLacks || time.Now().After(deadline) {
				return err
			}
		}
	}
}

func admin(l Library, topic, group, empty string) error {
	a, err := l.Admin()
	if err != nil {
		return err
	}
	defer a.Close()
	equal := func(what string, found any, err error, want any) error {
		if err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
		if found != want {
			return fmt.Errorf("%s is %v, not %v", what, found, want)
		}
		return nil
	}
	partitions := func(want int) func() error {
		return settled(func() error {
			n, err := a.Partitions(topic)
			return equal("partition count", n, err, want)
		})
	}
	config := func(want string) func() error {
		return settled(func() error {
			value, err := a.Config(topic, "retention.ms")
			return equal("retention.ms", value, err, want)
		})
	}
	listed := func(name string, want bool) func() error {
		return func() error {
			names, err := a.Groups()
			found := false
			for _, n := range names {
				found = found || n == name
			}
			return equal("listing of "+name, found, err, want)
		}
	}
	for i, step := range []func() error{
		func() error { return a.Create(topic, 3, map[string]string{"retention.ms": "70000"}) },
		partitions(3),
		config("70000"),
		func() error { return a.SetConfig(topic, "retention.ms", "80000") },
		config("80000"),
		func() error { return a.SetPartitions(topic, 5) },
		partitions(5),
		func() error { return produce(l, topic, "none", 5, 0, false, false) },
		func() error {
			if err := a.DeleteRecords(topic, 3); err != nil {
				return err
			}
			offset, err := a.Earliest(topic)
			return equal("earliest offset", offset, err, int64(3))
		},
		listed(group, true),
		func() error {
			state, err := a.GroupState(group)
			return equal("state of the group", state, err, "Empty")
		},
		func() error { return a.DeleteGroup(empty) },
		listed(empty, false),
		func() error { return a.Delete(topic) },
		settled(func() error {
			if n, err := a.Partitions(topic); err == nil && n > 0 {
				return fmt.Errorf("the topic is still there")
			}
			return nil
		}),
	} {
		if err := step(); err != nil && err != ErrLacks {
			return fmt.Errorf("step %d: %w", i+1, err)
		}
	}
	return nil
}

func integer(s string) int64 {
	n, _ := strconv.ParseInt(s, 10, 64)
	return n
}

func run(l Library, w []string, said *bufio.Scanner) error {
	number := func(n int) int { return int(integer(w[n])) }
	flag := func(n int) bool { return w[n] == "1" }
	switch w[0] {
	case "produce":
		return produce(l, w[1], w[2], number(3), integer(w[4]), flag(5), flag(6))
	case "read":
		return read(l, w[1], number(2), number(3), integer(w[4]), flag(5))
	case "cross":
		return cross(l, w[1:])
	case "time":
		return atTime(l, w[1], number(2), number(3), integer(w[4]), flag(5))
	case "group":
		return group(l, w[1], w[2], number(3), number(4), integer(w[5]), flag(6))
	case "committed":
		return committed(l, w[1], w[2], integer(w[3]))
	case "members":
		return members(l, w[1], w[2])
	case "large":
		return large(l, w[1], number(2))
	case "admin":
		return admin(l, w[1], w[2], w[3])
	case "through":
		return through(l, w[1], w[2], number(3), flag(4), said)
	}
	return fmt.Errorf("unknown command")
}

// Main takes commands on standard input and answers each with a line.
func Main(make func(bootstrap string) Library) {
	l := make(os.Args[1])
	said := bufio.NewScanner(os.Stdin)
	said.Buffer(make1M(), 1<<20)
	for said.Scan() {
		if err := run(l, strings.Fields(said.Text()), said); err != nil {
			fmt.Println("FAIL", strings.ReplaceAll(err.Error(), "\n", " "))
		} else {
			fmt.Println("ok")
		}
	}
}

func make1M() []byte { return make([]byte, 1<<20) }

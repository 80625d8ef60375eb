// Package harness is what the Go clients under test share: the records that every client writes alike, and the
// commands of ../../README.md in terms of a few calls that each library fills in.
package harness

import (
	"bytes"
	"fmt"
)

// Record is a record as a library hands it out; Timestamp is in ms.
type Record struct {
	Topic     string
	Partition int
	Offset    int64
	Key       []byte
	Value     []byte
	Timestamp int64
	Headers   [][2]string
}

func text(i, size int) []byte {
	out := make([]byte, size)
	for j := range out {
		out[j] = byte('a' + (i*31+j*7)%26)
	}
	return out
}

// Formula gives record i; base is the timestamp of record 0 in ms, or 0 for none.
func Formula(topic string, i int, base int64, headers bool) Record {
	r := Record{Topic: topic, Offset: int64(i)}
	if i%6 != 5 || i%10 == 9 {
		r.Key = []byte(fmt.Sprintf("key-%d", i))
	}
	if i%10 != 9 {
		size := []int{0, 1, 1024, 100}[i%4]
		if i == 38 {
			size = 120000
		}
		r.Value = text(i, size)
	}
	if base != 0 {
		r.Timestamp = base + int64(i)*1000
	}
	if headers && i%3 == 0 {
		r.Headers = [][2]string{{"h1", fmt.Sprintf("v-%d", i)}, {"h2", ""}}
	}
	return r
}

// NilIsEmpty is for a library that hands out null and empty alike.
var NilIsEmpty bool

func sameBytes(a, b []byte) bool {
	return (NilIsEmpty || (a == nil) == (b == nil)) && bytes.Equal(a, b)
}

// Check compares a consumed record with the formula.
func Check(r Record, i int, base int64, headers bool) error {
	want := Formula(r.Topic, i, base, headers)
	switch {
	case r.Offset != int64(i):
		return fmt.Errorf("offset %d where %d was due", r.Offset, i)
	case !sameBytes(r.Key, want.Key):
		return fmt.Errorf("key of %d is %q", i, r.Key)
	case !sameBytes(r.Value, want.Value):
		return fmt.Errorf("value of %d differs: %d bytes, nil is %v", i, len(r.Value), r.Value == nil)
	case base != 0 && r.Timestamp != want.Timestamp:
		return fmt.Errorf("timestamp of %d is %d", i, r.Timestamp)
	case len(r.Headers) != len(want.Headers):
		return fmt.Errorf("record %d has %d headers", i, len(r.Headers))
	}
	for n, h := range want.Headers {
		if r.Headers[n] != h {
			return fmt.Errorf("header of %d is %q", i, r.Headers[n])
		}
	}
	return nil
}

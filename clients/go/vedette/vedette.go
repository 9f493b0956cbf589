// Package vedette says who is master of a group of Vedette, now and at each change; for nats.go. To be copied into an application.
package vedette

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
)

const (
	// Prefix is the word at the beginning of all subjects, as the services have it in nats.prefix.
	Prefix = "vedette"

	answerLimit = time.Second            // for an orchestrator to answer, and for JetStream
	askEvery    = 5 * time.Second        // although nothing seems wrong: an announcement may get lost
	pause       = 200 * time.Millisecond // at the least between two questions
)

// Master is what is announced; README.md lists what else is in it.
type Master struct {
	Schema   uint64 `json:"schema"`
	Epoch    uint64 `json:"epoch"`
	Revision uint64 `json:"revision"`
	Address  string `json:"master"` // host:port, an IPv6 host in brackets
	Host     string `json:"host"`
	Port     int    `json:"port"`
	TraceID  string `json:"trace_id"`
}

// Masters are those of one group, each newer than the one before.
type Masters struct {
	// C delivers the present master first, then the new one after each change. A slow reader gets the newest only; no epoch ever
	// follows a higher one. While nobody knows who is master, nothing comes.
	C <-chan Master

	client  *nats.Conn
	group   string
	news    chan Master
	doubted atomic.Bool
	lock    sync.Mutex
	newest  Master
}

// Follow begins to follow a group, by its plain name, until the context is done. The connection stays the application's own.
func Follow(ctx context.Context, client *nats.Conn, group string) (*Masters, error) {
	news := make(chan Master, 1)
	m := &Masters{C: news, client: client, group: escaped(group), news: news}
	// Before the first question, so that no change between the two is missed.
	announced, err := client.Subscribe(Prefix+".v1.master."+m.group, func(message *nats.Msg) { m.hear(message) })
	if err != nil {
		return nil, err
	}
	go func() {
		m.askUntil(ctx)
		announced.Unsubscribe()
	}()
	return m, nil
}

// Doubt has the master asked for again soon: after each error of the connection to Redis, READONLY too.
func (m *Masters) Doubt() {
	m.doubted.Store(true)
}

func (m *Masters) askUntil(ctx context.Context) {
	ticks := time.NewTicker(pause)
	defer ticks.Stop()
	for !m.client.IsClosed() {
		reconnects := m.client.Stats().Reconnects
		m.doubted.Store(false)
		answer, err := m.client.Request(Prefix+".v1.ask.master."+m.group, nil, answerLimit)
		if err != nil || !m.hear(answer) {
			m.lookUp()
		}
		ticks.Reset(pause)
		for rest := askEvery; rest > 0; rest -= pause {
			select {
			case <-ctx.Done():
				return
			case <-ticks.C:
			}
			// What was announced while there was no connection has been missed.
			if m.doubted.Load() || m.client.Stats().Reconnects != reconnects {
				break
			}
		}
	}
}

// lookUp takes the last master that was retained; it may be out of date.
func (m *Masters) lookUp() {
	// For applications in an account of their own JetStream is a domain named as the prefix; elsewhere nobody serves that.
	for _, where := range [][]nats.JSOpt{{nats.Domain(Prefix)}, {}} {
		streams, err := m.client.JetStream(append(where, nats.MaxWait(answerLimit))...)
		if err != nil {
			return
		}
		kept, err := streams.GetLastMsg("KV_"+Prefix+"-masters", "$KV."+Prefix+"-masters."+m.group)
		if err == nil {
			m.consider(kept.Data)
		}
		if !errors.Is(err, nats.ErrNoResponders) {
			return
		}
	}
}

func (m *Masters) hear(message *nats.Msg) bool {
	// What a stream hands over is nobody's word: whoever reads one chooses where it goes.
	handedOver := strings.HasPrefix(message.Reply, "$JS.ACK.") || message.Header.Get("Nats-Stream") != ""
	return !handedOver && m.consider(message.Data)
}

// consider takes a record over if it is newer; says whether it was one.
func (m *Masters) consider(text []byte) bool {
	var next Master
	if json.Unmarshal(text, &next) != nil || next.Schema != 1 {
		return false
	}
	m.lock.Lock()
	defer m.lock.Unlock()
	if next.Epoch < m.newest.Epoch || next.Epoch == m.newest.Epoch && next.Revision <= m.newest.Revision {
		return true // never back
	}
	moved := next.Epoch > m.newest.Epoch
	m.newest = next
	if moved {
		select {
		case <-m.news: // nobody took the one before
		default:
		}
		m.news <- next
	}
	return true
}

func escaped(group string) string {
	return regexp.MustCompile(`[^A-Za-z0-9_-]+`).ReplaceAllStringFunc(group, func(others string) (out string) {
		for _, b := range []byte(others) {
			out += fmt.Sprintf("=%02X", b)
		}
		return out
	})
}

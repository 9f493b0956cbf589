// Writes to the master of the group $GROUP, whoever it is. $NATS_URL says where NATS is.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/redis/go-redis/v9"
)

type record struct {
	Schema, Epoch, Revision uint64
	Host, Master            string
	Port                    int
}

func escape(text string) (out string) {
	for _, b := range []byte(text) {
		out += fmt.Sprintf("=%02X", b)
	}
	return
}

func main() {
	group := regexp.MustCompile(`[^A-Za-z0-9_-]+`).ReplaceAllStringFunc(os.Getenv("GROUP"), escape)
	heard, doubt := make(chan *nats.Msg, 64), make(chan struct{}, 1)
	doubts := func() {
		select {
		case doubt <- struct{}{}:
		default: // somebody doubts already
		}
	}
	client, err := nats.Connect(os.Getenv("NATS_URL"), nats.MaxReconnects(-1), nats.PingInterval(time.Second),
		nats.ReconnectWait(100*time.Millisecond), nats.ReconnectHandler(func(*nats.Conn) { doubts() }))
	if err != nil {
		panic(err)
	}
	client.ChanSubscribe("vedette.v1.master."+group, heard)

	go func() { // asks at the start, after a doubt, and every 5 s: an announcement may get lost
		for {
			if answer, err := client.Request("vedette.v1.ask.master."+group, nil, time.Second); err == nil {
				heard <- answer
			} else if streams, err := client.JetStream(nats.MaxWait(time.Second)); err == nil {
				// Nobody answers: the last master that was retained.
				if kept, err := streams.GetLastMsg("KV_vedette-masters", "$KV.vedette-masters."+group); err == nil {
					heard <- &nats.Msg{Data: kept.Data}
				}
			}
			time.Sleep(200 * time.Millisecond)
			select {
			case <-doubt:
			case <-time.After(5 * time.Second):
			}
		}
	}()

	var newest record
	var master *redis.Client
	for number := 1; ; number++ {
		select {
		case message := <-heard:
			if strings.HasPrefix(message.Reply, "$JS.ACK.") || message.Header.Get("Nats-Stream") != "" {
				continue // a stream hands it over: whoever reads one chooses where it goes
			}
			var next record
			if json.Unmarshal(message.Data, &next) != nil || next.Schema != 1 || next.Epoch < newest.Epoch ||
				next.Epoch == newest.Epoch && next.Revision <= newest.Revision {
				continue // never back
			}
			moved := next.Epoch > newest.Epoch
			newest = next
			if !moved {
				continue
			}
			if master != nil {
				master.Close()
			}
			// No retries: a command under way fails, and the application decides.
			master = redis.NewClient(&redis.Options{Addr: next.Master, MaxRetries: -1, DialTimeout: time.Second,
				ReadTimeout: time.Second, WriteTimeout: time.Second})
			fmt.Println("master", next.Master, "epoch", next.Epoch)
		case <-time.After(10 * time.Millisecond):
			if master != nil && master.Set(context.Background(), "written-by-go", number, 0).Err() != nil {
				doubts() // READONLY too
			}
		}
	}
}

// Writes to the master of the group $GROUP, whoever it is. $NATS_URL says where NATS is.
package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/redis/go-redis/v9"

	"vedette-follow/vedette"
)

func connect(master vedette.Master) *redis.Client {
	fmt.Println("master", master.Address, "epoch", master.Epoch)
	// No retries: a command under way fails, and the application decides.
	return redis.NewClient(&redis.Options{Addr: master.Address, MaxRetries: -1, DialTimeout: time.Second,
		ReadTimeout: time.Second, WriteTimeout: time.Second})
}

func main() {
	ctx := context.Background()
	client, err := nats.Connect(os.Getenv("NATS_URL"), nats.MaxReconnects(-1), nats.PingInterval(time.Second),
		nats.ReconnectWait(100*time.Millisecond))
	if err != nil {
		panic(err)
	}
	masters, err := vedette.Follow(ctx, client, os.Getenv("GROUP"))
	if err != nil {
		panic(err)
	}
	master := connect(<-masters.C)
	for number := 1; ; number++ {
		select {
		case next := <-masters.C:
			master.Close()
			master = connect(next)
		case <-time.After(10 * time.Millisecond):
			if master.Set(ctx, "written-by-go", number, 0).Err() != nil {
				masters.Doubt() // READONLY too
			}
		}
	}
}

package redisconn_test

import (
	"fmt"

	"evalq/internal/redisconn"
)

func ExampleParse() {
	o, err := redisconn.Parse("rediss://eva:p%40ss%2Fword@redis.example/2")
	fmt.Println(o.Addr, o.Username, o.Password, o.DB, err)
	_, err = redisconn.Parse("redis://:p@ss/word@redis.example")
	fmt.Println(err)
	// Output:
	// redis.example:6379 eva p@ss/word 2 <nil>
	// redisconn: read the Redis URL "redis://***": it has an @ after the host: in a password write %2F for /, %3F for ? and %23 for #; elsewhere %40 for @
}

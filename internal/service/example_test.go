package service_test

import (
	"context"
	"errors"
	"fmt"

	"evalq/internal/service"
)

func ExampleGroup() {
	var g service.Group
	g.Add("engine", func(ctx context.Context) error {
		<-ctx.Done()
		fmt.Println("engine stops, after what needs it")
		return nil
	})
	g.Add("api", func(context.Context) error { return errors.New("port taken") })
	fmt.Println(g.Run(context.Background()))
	// Output:
	// engine stops, after what needs it
	// service: api: port taken
}

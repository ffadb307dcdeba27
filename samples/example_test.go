package samples_test

import (
	"fmt"

	"evalq/samples"
)

func ExampleAll() {
	ins, err := samples.All()
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(len(ins), ins[0].Title, len(ins[0].Answers))
	// Output: 10 高级后端一面 6
}

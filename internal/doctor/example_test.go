package doctor_test

import (
	"context"
	"fmt"

	"evalq/internal/doctor"
)

func ExampleExamine() {
	found := doctor.Examine(context.Background(), doctor.Subject{
		RedisErr: doctor.ErrInside, LedgerErr: doctor.ErrNoLedger, Kind: doctor.SQLite,
	}, nil)
	for _, f := range found {
		fmt.Println(f.Level, f.Check)
	}
	fmt.Println(doctor.Summary(found))
	// Output:
	// note redis
	// note ledger
	// ok settings.tokens
	// ok settings.tls
	// no warnings
}

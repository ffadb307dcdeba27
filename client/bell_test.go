package client

import (
	"context"
	"errors"
	"testing"
)

func TestManyCommitsAtOnceAreToldByOneNotification(t *testing.T) {
	t.Parallel()
	rung, goOn := make(chan struct{}), make(chan struct{})
	rings := 0
	b := bell{ring: func(context.Context) error {
		rings++
		if rings == 1 {
			close(rung)
			<-goOn
		}
		return errors.New("nobody is there") // which changes nothing
	}}
	b.touch()
	<-rung
	for range 1000 {
		b.touch()
	}
	close(goOn)
	b.close() // waits for the last
	if rings != 2 {
		t.Errorf("%d notifications", rings)
	}
	b.touch()
	b.close()
	if rings != 2 {
		t.Error("it rings after its end")
	}
}

func TestNobodyIsToldWhereNobodyCanHear(t *testing.T) {
	t.Parallel()
	var b bell
	b.touch()
	b.close()
}

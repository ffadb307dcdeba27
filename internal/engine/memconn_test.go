package engine

import (
	"bytes"
	"errors"
	"io"
	"os"
	"testing"
	"testing/synctest"
	"time"
)

func TestMemConnWriteDoesNotWaitForTheReader(t *testing.T) {
	t.Parallel()
	client, server := newMemConn()
	sent := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
	if n, err := client.Write(sent); n != len(sent) || err != nil {
		t.Fatalf("Write = %d, %v, want %d, nil", n, err, len(sent))
	}
	if err := client.Close(); err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(server)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, sent) {
		t.Errorf("read %d bytes after the writer closed, want the %d that were written", len(got), len(sent))
	}
}

func TestMemConnReadEndsAtTheDeadline(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		client, _ := newMemConn()
		start := time.Now()
		if err := client.SetDeadline(start.Add(3 * time.Second)); err != nil {
			t.Fatal(err)
		}
		_, err := client.Read(make([]byte, 1))
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("Read = %v, want os.ErrDeadlineExceeded", err)
		}
		if took := time.Since(start); took != 3*time.Second {
			t.Errorf("Read ended after %v, want 3s", took)
		}
	})
}

func TestMemConnMovedDeadlineWakesAWaitingRead(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		client, _ := newMemConn()
		ended := make(chan error, 1)
		go func() {
			_, err := client.Read(make([]byte, 1))
			ended <- err
		}()
		synctest.Wait()
		if err := client.SetReadDeadline(time.Now().Add(-time.Second)); err != nil {
			t.Fatal(err)
		}
		if err := <-ended; !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("Read = %v, want os.ErrDeadlineExceeded", err)
		}
	})
}

func TestMemConnCloseEndsBothSides(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		client, server := newMemConn()
		ours, theirs := make(chan error, 1), make(chan error, 1)
		go func() { _, err := client.Read(make([]byte, 1)); ours <- err }()
		go func() { _, err := server.Read(make([]byte, 1)); theirs <- err }()
		synctest.Wait()
		if err := client.Close(); err != nil {
			t.Fatal(err)
		}
		if err := <-ours; !errors.Is(err, io.ErrClosedPipe) {
			t.Errorf("the closed end read %v, want io.ErrClosedPipe", err)
		}
		if err := <-theirs; !errors.Is(err, io.EOF) {
			t.Errorf("the other end read %v, want io.EOF", err)
		}
		if _, err := server.Write([]byte("x")); !errors.Is(err, io.ErrClosedPipe) {
			t.Errorf("a write to a closed end = %v, want io.ErrClosedPipe", err)
		}
	})
}

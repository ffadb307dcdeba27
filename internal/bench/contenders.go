package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"slices"
	"sync/atomic"
	"time"

	"evalq/internal/api"
	"evalq/internal/ledger"
	"evalq/internal/ledger/mysql"
	"evalq/internal/ledger/postgres"
	"evalq/internal/ledger/sqlite"
	"evalq/internal/sandbox"
	"evalq/tasks"
)

const (
	sqliteName = "SQLite"
	riverName  = "River's Insert, PostgreSQL"
)

// contender is one thing that accepts.
type contender struct {
	name string
	run  func(ctx context.Context, callers int, length time.Duration) (sample, error)
}

// world is what a measurement runs on.
type world struct {
	contenders []contender
	notes      []string
	reports    atomic.Int64 // numbers the requests, so that each is new
	closers    []func() error
}

// close releases everything, the newest first.
func (w *world) close() error {
	var errs []error
	for _, f := range slices.Backward(w.closers) {
		errs = append(errs, f())
	}
	return errors.Join(errs...)
}

func (w *world) later(f func() error) { w.closers = append(w.closers, f) }

func (w *world) open(ctx context.Context, c AcceptConfig) error {
	var overHTTP []func() error
	for _, name := range c.Ledgers {
		c.Report("opening a ledger: " + name)
		switch name {
		case sqliteLedger:
			l, err := w.openSQLite(ctx, c)
			if err != nil {
				return err
			}
			w.addLedger(sqliteName, l)
			overHTTP = append(overHTTP, func() error { return w.addHTTP("HTTP, "+sqliteName, l) })
		case postgresLedger:
			server, l, err := w.openPostgres(ctx, c)
			if err != nil {
				return err
			}
			w.addLedger("PostgreSQL", l)
			overHTTP = append(overHTTP, func() error { return w.addHTTP("HTTP, PostgreSQL", l) })
			if err := w.addRiver(ctx, c, server); err != nil {
				return err
			}
		case mysqlLedger:
			l, err := w.openMariaDB(ctx, c)
			if err != nil {
				return err
			}
			w.addLedger("MariaDB", l)
		}
	}
	for _, add := range overHTTP {
		if err := add(); err != nil {
			return err
		}
	}
	return nil
}

func (w *world) openSQLite(ctx context.Context, c AcceptConfig) (*ledger.Ledger, error) {
	dir, err := os.MkdirTemp(c.Dir, "evalq-bench-")
	if err != nil {
		return nil, err
	}
	w.later(func() error { return os.RemoveAll(dir) })
	db, err := sqlite.Open(ctx, dir, nil)
	if err != nil {
		return nil, err
	}
	w.later(db.Close)
	return db.Ledger, nil
}

func (w *world) openPostgres(ctx context.Context, c AcceptConfig) (*sandbox.Server, *ledger.Ledger, error) {
	// The sandbox is frugal; these are PostgreSQL's own defaults.
	server, err := sandbox.StartPostgres(ctx, &sandbox.Config{Dir: c.Dir, Args: []string{"-c", "shared_buffers=128MB"}})
	if err != nil {
		return nil, nil, err
	}
	w.later(server.Close)
	db, err := postgres.Open(ctx, server.URL(), true, nil)
	if err != nil {
		return nil, nil, err
	}
	w.later(db.Close)
	return server, db.Ledger, nil
}

func (w *world) openMariaDB(ctx context.Context, c AcceptConfig) (*ledger.Ledger, error) {
	// The sandbox is frugal; these are MariaDB's own defaults.
	server, err := sandbox.StartMariaDB(ctx, &sandbox.Config{Dir: c.Dir, Args: []string{
		"--innodb-buffer-pool-size=128M", "--loose-innodb-log-file-size=96M",
	}})
	if err != nil {
		return nil, err
	}
	w.later(server.Close)
	db, err := mysql.Open(ctx, server.URL(), true, nil)
	if err != nil {
		return nil, err
	}
	w.later(db.Close)
	return db.Ledger, nil
}

// warm is how long a contender runs unmeasured, so that its connections are open
// and its statements prepared.
const warm = 300 * time.Millisecond

// addLoad adds a contender that this process calls.
func (w *world) addLoad(name string, call func(ctx context.Context, user, report int64) error) {
	w.contenders = append(w.contenders, contender{name, func(ctx context.Context, callers int, length time.Duration) (sample, error) {
		each := func(ctx context.Context, caller, _ int) error {
			return call(ctx, int64(caller+1), w.reports.Add(1))
		}
		if _, err := load(ctx, callers, min(warm, length), each); err != nil {
			return sample{}, err
		}
		return load(ctx, callers, length, each)
	}})
}

func (w *world) addLedger(name string, l *ledger.Ledger) {
	w.addLoad(name, func(ctx context.Context, user, report int64) error {
		_, created, err := l.Accept(ctx, tasks.Request{Payload: tasks.EvaluationReport{UserID: user, ReportID: report}}, "bench")
		if err == nil && !created {
			return errors.New("the job exists")
		}
		return err
	})
}

// addHTTP adds what a caller of the API gets.
func (w *world) addHTTP(name string, l *ledger.Ledger) error {
	address, err := w.serve(l)
	if err != nil {
		return err
	}
	transport := &http.Transport{MaxIdleConnsPerHost: 1024}
	w.later(func() error { transport.CloseIdleConnections(); return nil })
	client := &http.Client{Transport: transport}
	url := address + "/v1/evaluations"
	w.addLoad(name, func(ctx context.Context, user, report int64) error { return post(ctx, client, url, user, report) })
	return nil
}

// serve answers with the API on a loopback port, without the credentials that a
// server may ask for.
func (w *world) serve(l *ledger.Ledger) (url string, err error) {
	handler, err := api.New(l, &api.Config{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return "", err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	w.later(func() error {
		err := server.Close()
		if serr := <-ended; !errors.Is(serr, http.ErrServerClosed) {
			err = errors.Join(err, serr)
		}
		return err
	})
	return "http://" + listener.Addr().String(), nil
}

func post(ctx context.Context, client *http.Client, url string, user, report int64) error {
	body := fmt.Appendf(nil, `{"kind":"evaluation_report","user_id":%d,"report_id":%d}`, user, report)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := client.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if _, err := io.Copy(io.Discard, res.Body); err != nil {
		return err
	}
	if res.StatusCode != http.StatusAccepted {
		return fmt.Errorf("the server answered %s", res.Status)
	}
	return nil
}

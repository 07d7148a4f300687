// A peer for tests: the real s3db on a folder. Built in a checkout of s3db (see tests/interop/s3db.py).
//
//	peer DIR PREFIX exec SQL...     each SQL is an update; prints rows of SELECTs
//	peer DIR PREFIX add N KEY       N updates that read row KEY of counters and write it plus one
//	peer DIR PREFIX move N SEED     N transfers between accounts
//	peer DIR PREFIX migrate V SQL   schema version V
//	peer DIR PREFIX compact | gc | bench N WRITERS | view N
package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/psanford/s3db"
	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"
)

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "peer:", err)
		os.Exit(1)
	}
}

func number(c *sqlite.Conn, sql string, args ...any) (int64, error) {
	var n int64
	err := sqlitex.Execute(c, sql, &sqlitex.ExecOptions{Args: args, ResultFunc: func(s *sqlite.Stmt) error { n = s.ColumnInt64(0); return nil }})
	return n, err
}

func rows(c *sqlite.Conn, sql string) error {
	return sqlitex.Execute(c, sql, &sqlitex.ExecOptions{ResultFunc: func(s *sqlite.Stmt) error {
		for i := 0; i < s.ColumnCount(); i++ {
			if i > 0 {
				fmt.Print("|")
			}
			fmt.Print(s.ColumnText(i))
		}
		fmt.Println()
		return nil
	}})
}

func update(ctx context.Context, db *s3db.DB, fn func(c *sqlite.Conn) error) {
	for {
		err := db.Update(ctx, fn)
		if errors.Is(err, s3db.ErrConflict) {
			continue
		}
		check(err)
		return
	}
}

func main() {
	ctx := context.Background()
	store, err := s3db.NewFileSystemBlobStore(os.Args[1])
	check(err)
	prefix, command, args := os.Args[2], os.Args[3], os.Args[4:]
	if command == "migrate" {
		v, _ := strconv.Atoi(args[0])
		sql := args[1]
		db, err := s3db.Open(ctx, store, prefix, s3db.WithMigrations([]s3db.Migration{{Version: v, Name: "peer", Up: func(c *sqlite.Conn) error { return sqlitex.ExecuteScript(c, sql, nil) }}}))
		check(err)
		check(db.Close())
		return
	}
	begun := time.Now()
	db, err := s3db.Open(ctx, store, prefix, s3db.WithSchemaUnchecked(), s3db.WithMaxRetries(50))
	check(err)
	opened := time.Since(begun)
	defer db.Close()
	switch command {
	case "exec":
		for _, sql := range args {
			check(db.Update(ctx, func(c *sqlite.Conn) error { return rows(c, sql) }))
		}
	case "add":
		n, _ := strconv.Atoi(args[0])
		for i := 0; i < n; i++ {
			update(ctx, db, func(c *sqlite.Conn) error {
				v, err := number(c, "SELECT n FROM counters WHERE id = ?", args[1])
				if err != nil {
					return err
				}
				return sqlitex.Execute(c, "UPDATE counters SET n = ? WHERE id = ?", &sqlitex.ExecOptions{Args: []any{v + 1, args[1]}})
			})
		}
	case "move":
		n, _ := strconv.Atoi(args[0])
		seed, _ := strconv.Atoi(args[1])
		random := rand.New(rand.NewSource(int64(seed)))
		for i := 0; i < n; i++ {
			from, to := random.Intn(8), random.Intn(8)
			update(ctx, db, func(c *sqlite.Conn) error {
				if err := sqlitex.Execute(c, "UPDATE accounts SET n = n - 1 WHERE id = ?", &sqlitex.ExecOptions{Args: []any{from}}); err != nil {
					return err
				}
				return sqlitex.Execute(c, "UPDATE accounts SET n = n + 1 WHERE id = ?", &sqlitex.ExecOptions{Args: []any{to}})
			})
		}
	case "compact":
		check(db.Compact(ctx))
	case "gc":
		check(db.GC(ctx))
	case "view":
		n, _ := strconv.Atoi(args[0])
		t := time.Now()
		for i := 0; i < n; i++ {
			check(db.View(ctx, func(c *sqlite.Conn) error { _, err := number(c, "SELECT count(*) FROM sqlite_schema"); return err }))
		}
		fmt.Printf("{\"open_ms\":%.3f,\"view_us\":%.1f}\n", float64(opened.Microseconds())/1e3, float64(time.Since(t).Microseconds())/float64(n))
	case "bench":
		n, _ := strconv.Atoi(args[0])
		writers, _ := strconv.Atoi(args[1])
		var wait sync.WaitGroup
		t := time.Now()
		for w := 0; w < writers; w++ {
			wait.Add(1)
			go func(w int) {
				defer wait.Done()
				for i := 0; i < n/writers; i++ {
					update(ctx, db, func(c *sqlite.Conn) error {
						return sqlitex.Execute(c, "INSERT INTO bench(id, body) VALUES(?, ?)", &sqlitex.ExecOptions{Args: []any{w*1000000 + i, "a body of some forty bytes, as rows may have"}})
					})
				}
			}(w)
		}
		wait.Wait()
		fmt.Printf("{\"commits_per_s\":%.1f}\n", float64(n/writers*writers)/time.Since(t).Seconds())
	default:
		fmt.Fprintln(os.Stderr, "peer: unknown command", command)
		os.Exit(2)
	}
}

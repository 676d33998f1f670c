// Movies over HTTP with net/http, pgx and PostgreSQL: PORT, DATABASE_URL, JWT_SECRET.
// "load FILE" adds the rows of a file instead.
//
// In GOPATH mode Go assumes the defaults of an old release, whose ServeMux knows no methods.

//go:debug default=go1.27
package main

import (
	"context"
	"errors"
	"log"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()

	store, err := openStore(ctx, os.Getenv("DATABASE_URL"))
	if err != nil {
		log.Fatal(err)
	}
	defer store.pool.Close()
	if len(os.Args) == 3 && os.Args[1] == "load" {
		if err := store.load(ctx, os.Args[2]); err != nil {
			log.Fatal(err)
		}
		return
	}

	server := &http.Server{
		Addr:              "127.0.0.1:" + os.Getenv("PORT"),
		Handler:           newAPI(store, []byte(os.Getenv("JWT_SECRET"))),
		ReadHeaderTimeout: 5 * time.Second,
	}
	go func() {
		<-ctx.Done()
		grace, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_ = server.Shutdown(grace)
	}()
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		log.Fatal(err)
	}
}

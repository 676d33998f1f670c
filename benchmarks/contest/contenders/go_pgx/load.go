package main

import (
	"bufio"
	"context"
	"encoding/json"
	"os"
	"time"

	"github.com/jackc/pgx/v4"
)

// load adds the rows of a file: one JSON object with title, genre and year a line.
func (s *store) load(ctx context.Context, path string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()

	var rows [][]any
	created := time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		var m movieInput
		if err := json.Unmarshal(lines.Bytes(), &m); err != nil {
			return err
		}
		created = created.Add(time.Second)
		rows = append(rows, []any{m.Title, m.Genre, m.Year, created})
	}
	if err := lines.Err(); err != nil {
		return err
	}
	_, err = s.pool.CopyFrom(ctx, pgx.Identifier{"movies"},
		[]string{"title", "genre", "year", "created_at"}, pgx.CopyFromRows(rows))
	if err != nil {
		return err
	}
	_, err = s.pool.Exec(ctx, "VACUUM ANALYZE movies")
	return err
}

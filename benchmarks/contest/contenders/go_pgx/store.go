package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v4"
	"github.com/jackc/pgx/v4/pgxpool"
)

//go:embed schema.sql
var schema string

const columns = "id, title, genre, year, created_at"

var (
	errNotFound = errors.New("not found")
	sortable    = map[string]bool{"title": true, "genre": true, "year": true, "created_at": true}
	wildcards   = strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`)
)

type movieInput struct {
	Title string `json:"title"`
	Genre string `json:"genre"`
	Year  int    `json:"year"`
}

type movie struct {
	ID int `json:"id"`
	movieInput
	CreatedAt time.Time `json:"created_at"`
}

// query is what a list asks for; a year of 0 and an empty text ask for nothing.
type query struct {
	page, size       int
	title            string
	yearFrom, yearTo int
	ordering         string
}

// store keeps movies in PostgreSQL; commits are durable (synchronous_commit=on).
type store struct{ pool *pgxpool.Pool }

func openStore(ctx context.Context, address string) (*store, error) {
	config, err := pgxpool.ParseConfig(address)
	if err != nil {
		return nil, err
	}
	config.MaxConns = 20
	config.ConnConfig.RuntimeParams["synchronous_commit"] = "on"
	pool, err := pgxpool.ConnectConfig(ctx, config)
	if err != nil {
		return nil, err
	}
	_, err = pool.Exec(ctx, schema)
	return &store{pool: pool}, err
}

func (s *store) create(ctx context.Context, m movieInput) (movie, error) {
	return scan(s.pool.QueryRow(ctx,
		"INSERT INTO movies (title, genre, year) VALUES ($1, $2, $3) RETURNING "+columns,
		m.Title, m.Genre, m.Year))
}

func (s *store) update(ctx context.Context, id int, m movieInput) (movie, error) {
	return scan(s.pool.QueryRow(ctx,
		"UPDATE movies SET title = $1, genre = $2, year = $3 WHERE id = $4 RETURNING "+columns,
		m.Title, m.Genre, m.Year, id))
}

func (s *store) get(ctx context.Context, id int) (movie, error) {
	return scan(s.pool.QueryRow(ctx, "SELECT "+columns+" FROM movies WHERE id = $1", id))
}

// list returns the number of all results and those of one page; one round trip asks for both.
func (s *store) list(ctx context.Context, q query) (int, []movie, error) {
	where, values := q.where()
	n := len(values)
	batch := &pgx.Batch{}
	batch.Queue("SELECT count(*) FROM movies "+where, values...)
	batch.Queue(fmt.Sprintf("SELECT %s FROM movies %s ORDER BY %s LIMIT $%d OFFSET $%d",
		columns, where, q.orderBy(), n+1, n+2),
		append(values, q.size, (q.page-1)*q.size)...)
	sent := s.pool.SendBatch(ctx, batch)
	defer sent.Close()

	var count int
	if err := sent.QueryRow().Scan(&count); err != nil {
		return 0, nil, err
	}
	rows, err := sent.Query()
	if err != nil {
		return 0, nil, err
	}
	defer rows.Close()
	results := make([]movie, 0, q.size)
	for rows.Next() {
		m, err := scan(rows)
		if err != nil {
			return 0, nil, err
		}
		results = append(results, m)
	}
	return count, results, rows.Err()
}

func scan(row pgx.Row) (movie, error) {
	var m movie
	err := row.Scan(&m.ID, &m.Title, &m.Genre, &m.Year, &m.CreatedAt)
	if errors.Is(err, pgx.ErrNoRows) {
		err = errNotFound
	}
	return m, err
}

// where returns the conditions of a list as SQL, and their values.
func (q query) where() (string, []any) {
	var conditions []string
	var values []any
	add := func(condition string, value any) {
		values = append(values, value)
		conditions = append(conditions, fmt.Sprintf("%s $%d", condition, len(values)))
	}
	if q.title != "" {
		add("title ILIKE", "%"+wildcards.Replace(q.title)+"%")
	}
	if q.yearFrom != 0 {
		add("year >=", q.yearFrom)
	}
	if q.yearTo != 0 {
		add("year <=", q.yearTo)
	}
	if len(conditions) == 0 {
		return "", nil
	}
	return "WHERE " + strings.Join(conditions, " AND "), values
}

// orderBy turns "-year,title" into SQL; names that are not columns are ignored.
func (q query) orderBy() string {
	var terms []string
	for _, name := range strings.Split(q.ordering, ",") {
		column, descending := strings.CutPrefix(name, "-")
		if !sortable[column] {
			continue
		}
		if descending {
			column += " DESC"
		}
		terms = append(terms, column)
	}
	if len(terms) == 0 {
		return "created_at DESC, id DESC"
	}
	return strings.Join(append(terms, "id DESC"), ", ")
}

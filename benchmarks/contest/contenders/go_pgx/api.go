package main

import (
	"encoding/json"
	"errors"
	"log"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/golang-jwt/jwt"
)

const largestPage = 100

var errBadRequest = errors.New("bad request")

type api struct {
	store  *store
	secret []byte
}

type page struct {
	Count    int     `json:"count"`
	Next     *string `json:"next"`
	Previous *string `json:"previous"`
	Results  []movie `json:"results"`
}

func newAPI(s *store, secret []byte) http.Handler {
	a := &api{store: s, secret: secret}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /movies/{$}", a.answer(a.list))
	mux.HandleFunc("POST /movies/{$}", a.answer(a.create))
	mux.HandleFunc("GET /movies/{id}/{$}", a.answer(a.get))
	mux.HandleFunc("PUT /movies/{id}/{$}", a.answer(a.update))
	return mux
}

// answer checks the token, calls handle and writes its status and body as JSON.
func (a *api) answer(handle func(*http.Request) (int, any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if !a.authorized(r) {
			http.Error(w, "unauthorized", http.StatusUnauthorized)
			return
		}
		status, body, err := handle(r)
		switch {
		case errors.Is(err, errBadRequest):
			http.Error(w, "bad request", http.StatusBadRequest)
		case errors.Is(err, errNotFound):
			http.Error(w, "not found", http.StatusNotFound)
		case r.Context().Err() != nil: // the client has gone
		case err != nil:
			log.Print(err)
			http.Error(w, "internal error", http.StatusInternalServerError)
		default:
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(status)
			_ = json.NewEncoder(w).Encode(body)
		}
	}
}

// authorized reports whether the request bears a JWT that is signed with HS256 and still valid.
func (a *api) authorized(r *http.Request) bool {
	token, found := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !found {
		return false
	}
	parsed, err := jwt.Parse(token,
		func(*jwt.Token) (any, error) { return a.secret, nil },
		jwt.WithValidMethods([]string{"HS256"}))
	return err == nil && parsed.Valid
}

func (a *api) create(r *http.Request) (int, any, error) {
	fields, err := movieFields(r)
	if err != nil {
		return 0, nil, err
	}
	created, err := a.store.create(r.Context(), fields)
	return http.StatusCreated, created, err
}

func (a *api) update(r *http.Request) (int, any, error) {
	fields, err := movieFields(r)
	if err != nil {
		return 0, nil, err
	}
	id, err := strconv.Atoi(r.PathValue("id"))
	if err != nil {
		return 0, nil, errNotFound
	}
	updated, err := a.store.update(r.Context(), id, fields)
	return http.StatusOK, updated, err
}

func (a *api) get(r *http.Request) (int, any, error) {
	id, err := strconv.Atoi(r.PathValue("id"))
	if err != nil {
		return 0, nil, errNotFound
	}
	found, err := a.store.get(r.Context(), id)
	return http.StatusOK, found, err
}

func (a *api) list(r *http.Request) (int, any, error) {
	q, err := parseQuery(r.URL.Query())
	if err != nil {
		return 0, nil, err
	}
	count, results, err := a.store.list(r.Context(), q)
	if err != nil {
		return 0, nil, err
	}
	answer := page{Count: count, Results: results}
	if q.page*q.size < count {
		answer.Next = linkTo(r, q.page+1)
	}
	if q.page > 1 {
		answer.Previous = linkTo(r, q.page-1)
	}
	return http.StatusOK, answer, nil
}

// movieFields decodes and checks the body of a write.
func movieFields(r *http.Request) (movieInput, error) {
	var fields movieInput
	if err := json.NewDecoder(r.Body).Decode(&fields); err != nil {
		return fields, errBadRequest
	}
	for _, text := range []string{fields.Title, fields.Genre} {
		if text == "" || len(text) > 800 {
			return fields, errBadRequest
		}
	}
	if fields.Year < 1888 || fields.Year > 2100 {
		return fields, errBadRequest
	}
	return fields, nil
}

// parseQuery reads the parameters of a list; an absent number has its default.
func parseQuery(values url.Values) (query, error) {
	var failed error
	number := func(name string, absent int) int {
		text := values.Get(name)
		if text == "" {
			return absent
		}
		n, err := strconv.Atoi(text)
		if err != nil {
			failed = errBadRequest
		}
		return n
	}
	q := query{
		page:     number("page", 1),
		size:     number("page_size", 10),
		title:    values.Get("title"),
		yearFrom: number("year__gte", 0),
		yearTo:   number("year__lte", 0),
		ordering: values.Get("ordering"),
	}
	if q.page < 1 || q.size < 1 || q.size > largestPage {
		failed = errBadRequest
	}
	return q, failed
}

func linkTo(r *http.Request, number int) *string {
	values := r.URL.Query()
	values.Set("page", strconv.Itoa(number))
	link := r.URL.Path + "?" + values.Encode()
	return &link
}

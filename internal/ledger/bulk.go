package ledger

import "strings"

// series is one column of rows that are written or looked for together.
type series struct {
	name   string
	values any // []string, []int64 or [][]byte, one a row
}

func texts[T any, S ~string](name string, of []T, value func(T) S) series {
	out := make([]string, len(of))
	for i, v := range of {
		out[i] = legible(string(value(v)))
	}
	return series{name, out}
}

func numbers[T any](name string, of []T, value func(T) int64) series {
	out := make([]int64, len(of))
	for i, v := range of {
		out[i] = value(v)
	}
	return series{name, out}
}

func blobs[T any](name string, of []T, value func(T) []byte) series {
	out := make([][]byte, len(of))
	for i, v := range of {
		out[i] = value(v)
	}
	return series{name, out}
}

// at is the argument for one row. An absent blob is NULL; a nil []byte would be
// stored as an empty one.
func (c series) at(row int) any {
	switch v := c.values.(type) {
	case []string:
		return v[row]
	case []int64:
		return v[row]
	case [][]byte:
		if v[row] == nil {
			return nil
		}
		return v[row]
	}
	return nil
}

// array is the type of the column as one argument.
func (c series) array() string {
	switch c.values.(type) {
	case []string:
		return "text[]"
	case []int64:
		return "bigint[]"
	}
	return "bytea[]"
}

// unnest is all rows as a table, in their order: an argument a column, so that
// one statement serves any number of rows.
func unnest(cols []series) (table string, args []any) {
	parts := make([]string, len(cols))
	for i, c := range cols {
		parts[i], args = "?::"+c.array(), append(args, c.values)
	}
	return "unnest(" + strings.Join(parts, ", ") + ")", args
}

func names(cols []series) string {
	out := make([]string, len(cols))
	for i, c := range cols {
		out[i] = c.name
	}
	return strings.Join(out, ", ")
}

// maxRows bounds the rows of one statement where each value is an argument.
const maxRows = 64

// portion is how many of n rows the next statement takes. The sizes are few, so
// that statements are prepared once and met again.
func portion(n int) int {
	if n <= 16 {
		return n
	}
	size := 16
	for size*2 <= min(n, maxRows) {
		size *= 2
	}
	return size
}

// insertRows inserts n rows, which get their seq in their order.
func (t *txn) insertRows(table string, n int, cols []series) error {
	into := `INSERT INTO ` + table + ` (` + names(cols) + `) `
	if t.d.arrays {
		from, args := unnest(cols)
		_, err := t.exec(into+`SELECT * FROM `+from, args...)
		return err
	}
	row := `(` + list(len(cols)) + `)`
	for start := 0; start < n; {
		size := portion(n - start)
		args := make([]any, 0, size*len(cols))
		for i := start; i < start+size; i++ {
			for _, c := range cols {
				args = append(args, c.at(i))
			}
		}
		if _, err := t.exec(into+`VALUES `+row+strings.Repeat(`, `+row, size-1), args...); err != nil {
			return err
		}
		start += size
	}
	return nil
}

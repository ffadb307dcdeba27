package config

import (
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"
)

const prefix = "EVALQ_"

// Setting is one row of the table of settings.
type Setting struct {
	Field    string // of Config or Client
	Env      string // the variable, such as EVALQ_LISTEN
	FileEnv  string // the variable that names a file to read a secret from, or ""
	Flag     string // without its dashes, or "" as for tokens: all users see the flags of a process
	FileFlag string // the flag that names a file to read a secret from, or ""
	Default  string // for people; not always a value
	Help     string
	Secret   bool // never printed as it is
	Client   bool // of Client, not Config

	kind reflect.Type
}

// name is how errors call the setting.
func (s Setting) name() string {
	flag := s.Flag
	if flag == "" {
		flag = s.FileFlag
	}
	return fmt.Sprintf("--%s (%s)", flag, s.Env)
}

// Table returns all settings, those of a server first, in the order in which
// to show them.
func Table() []Setting {
	return slices.Concat(settings(reflect.TypeFor[Config](), false), settings(reflect.TypeFor[Client](), true))
}

func settings(t reflect.Type, client bool) []Setting {
	var table []Setting
	for f := range t.Fields() {
		s := Setting{
			Field:   f.Name,
			Env:     prefix + f.Tag.Get("env"),
			Flag:    f.Tag.Get("flag"),
			Default: f.Tag.Get("envDefault"),
			Help:    f.Tag.Get("help"),
			Client:  client,
			kind:    f.Type,
		}
		if shown := f.Tag.Get("shown"); shown != "" {
			s.Default = shown
		}
		if secret := f.Tag.Get("secret"); secret != "" {
			s.Secret = true
			s.FileEnv, s.FileFlag = s.Env+"_FILE", s.Flag+"-file"
			if secret == "only-file" {
				s.Flag = ""
			}
		}
		table = append(table, s)
	}
	return table
}

// AddFlags adds the flags of [Config] to flags. The values are read by [Load].
func AddFlags(flags *pflag.FlagSet) { addFlags(flags, settings(reflect.TypeFor[Config](), false)) }

// AddDataDirFlag adds the one flag that [LoadDataDir] reads.
func AddDataDirFlag(flags *pflag.FlagSet) { addFlags(flags, []Setting{setting("DataDir")}) }

// AddClientFlags adds the flags of [Client] to flags. The values are read by
// [LoadClient].
func AddClientFlags(flags *pflag.FlagSet) {
	addFlags(flags, settings(reflect.TypeFor[Client](), true))
}

func addFlags(flags *pflag.FlagSet, table []Setting) {
	for _, s := range table {
		if s.Flag != "" {
			help := fmt.Sprintf("%s (default %s) [$%s]", s.Help, s.Default, s.Env)
			flag := flags.VarPF(&flagValue{kind: kindName(s.kind)}, s.Flag, "", help)
			if s.kind.Kind() == reflect.Bool {
				flag.NoOptDefVal = "true"
			}
		}
		if s.FileFlag != "" {
			flags.Var(&flagValue{kind: "file"}, s.FileFlag, fmt.Sprintf("file to read it from: %s [$%s]", s.Help, s.FileEnv))
		}
	}
}

// flagValue keeps a flag's text. It is understood by Load, together with what
// the environment says, so that there is one kind of error.
type flagValue struct{ text, kind string }

func (v *flagValue) String() string     { return v.text }
func (v *flagValue) Set(s string) error { v.text = s; return nil }
func (v *flagValue) Type() string       { return v.kind }

func kindName(t reflect.Type) string {
	switch {
	case t == reflect.TypeFor[time.Duration]():
		return "duration"
	case t == reflect.TypeFor[slog.Level]():
		return "level"
	case t.Kind() == reflect.Slice:
		return "list"
	}
	return t.Kind().String()
}

// wanted says what a value of the setting looks like.
func wanted(t reflect.Type) string {
	switch kindName(t) {
	case "duration":
		return "a time such as 90s, 10m or 24h"
	case "level":
		return "debug, info, warn or error"
	case "bool":
		return "true or false"
	case "int":
		return "a whole number"
	}
	return "text"
}

// suggestion returns the known variable that is nearest to a mistyped one, or
// "" if none is near.
func suggestion(typed string, known []string) string {
	best, least := "", 1+max(2, (len(typed)-len(prefix))/3)
	for _, k := range known {
		if d := distance(strings.TrimPrefix(typed, prefix), strings.TrimPrefix(k, prefix)); d < least {
			best, least = k, d
		}
	}
	return best
}

// distance is how many characters to insert, delete or replace to get from a
// to b.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

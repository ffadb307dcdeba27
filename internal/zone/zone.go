// Package zone has the time zones of the world in the program, for machines and
// images that have none, and finds a TZ that Go would silently read as UTC.
package zone

import (
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"
	"time"
	_ "time/tzdata" // zones where the machine has none
)

// posix is a rule in place of a name, such as CST-8 or <+08>-8. Go reads none.
var posix = regexp.MustCompile(`^(<[^>]*>|[A-Za-z]{3,})[+-]?\d`)

// CheckTZ reports why Go would take a value of the variable TZ for UTC although it
// names something else. Empty is UTC. A leading colon is allowed.
func CheckTZ(value string) error {
	name := strings.TrimPrefix(value, ":")
	if name == "" || name == "UTC" {
		return nil
	}
	err := find(name)
	switch {
	case err == nil:
		return nil
	case posix.MatchString(name):
		return fmt.Errorf("TZ is %.60q, a rule of POSIX, and Go programs read only names of zones: use a name such as Asia/Shanghai, or unset it", value)
	case strings.HasPrefix(name, "/"):
		return fmt.Errorf("TZ is %.60q, which is no file of a time zone (%w): use a name such as Asia/Shanghai, or unset it", value, err)
	}
	return fmt.Errorf("TZ is %.60q, which is no time zone that is known: use a name such as Asia/Shanghai, or unset it", value)
}

func find(name string) error {
	if strings.HasPrefix(name, "/") {
		data, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		_, err = time.LoadLocationFromTZData(name, data)
		return err
	}
	if name == "Local" { // known to LoadLocation, and not to what reads TZ
		return errors.New("not a name of a zone")
	}
	_, err := time.LoadLocation(name)
	return err
}

// Local is time.Local, unless TZ in the environment of the process is not what
// time.Local goes by; see CheckTZ.
func Local() (*time.Location, error) {
	if err := CheckTZ(os.Getenv("TZ")); err != nil {
		return nil, err
	}
	return time.Local, nil
}

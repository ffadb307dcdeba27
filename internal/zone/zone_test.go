package zone

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestATZThatGoWouldSilentlyReadAsUTCIsRefusedInEverySpelling(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	text := filepath.Join(folder, "text")
	if err := os.WriteFile(text, []byte("Asia/Shanghai\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for value, want := range map[string]string{
		"Asia/Shangai": "no time zone", ":Asia/Shangai": "no time zone", "asia/nowhere": "no time zone", "Local": "no time zone", "China": "no time zone",
		"../etc/localtime": "no time zone", " Asia/Shanghai": "no time zone", "::Asia/Shanghai": "no time zone",
		"CST-8": "POSIX", "<+08>-8": "POSIX", ":UTC-8": "POSIX", "UTC+8": "POSIX", "CET-1CEST,M3.5.0,M10.5.0/3": "POSIX",
		"/nowhere/zone": "no file of a time zone", folder: "no file of a time zone", text: "no file of a time zone", ":" + text: "no file of a time zone",
	} {
		err := CheckTZ(value)
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "Asia/Shanghai") {
			t.Errorf("TZ=%q: %v, want an error with %q and a name that is right", value, err, want)
		}
	}
}

func TestATZThatGoReadsIsTaken(t *testing.T) {
	t.Parallel()
	values := []string{"", ":", "UTC", ":UTC", "Asia/Shanghai", ":Asia/Shanghai", "Etc/GMT-8", "GMT0", "EST5EDT", "Europe/Berlin"}
	for _, file := range []string{"/etc/localtime", "/usr/share/zoneinfo/Asia/Shanghai"} {
		if _, err := os.Stat(file); err == nil {
			values = append(values, file, ":"+file)
		}
	}
	for _, value := range values {
		if err := CheckTZ(value); err != nil {
			t.Errorf("TZ=%q: %v", value, err)
		}
	}
}

package mysqlurl

import (
	"strings"
	"testing"
	"time"
)

func TestAParameterThatCannotBeUsedIsNamedAndAZoneWithItsValue(t *testing.T) {
	t.Parallel()
	for query, want := range map[string]string{
		"loc=Asia%2FShangai":                         `parameter "loc" of the URL is "Asia/Shangai"`,
		"loc=asia/nowhere&parseTime=true":            `parameter "loc" of the URL is "asia/nowhere"`,
		"parseTime=true&loc=CST-8":                   `parameter "loc" of the URL is "CST-8"`,
		"loc=Etc/GMT+8":                              `parameter "loc" of the URL is "Etc/GMT 8"`,
		"loc=%zz":                                    `parameter "loc" of the URL cannot be read`,
		"loc=UTC&loc=Nowhere":                        `parameter "loc" of the URL is "Nowhere"`,
		"parseTime=maybe":                            `parameter "parseTime"`,
		"loc=UTC&timeout=soon":                       `parameter "timeout"`,
		"tls=nowhere":                                `parameter "tls"`,
		"collation=utf8mb4_bin&maxAllowedPacket=big": `parameter "maxAllowedPacket"`,
	} {
		_, err := Parse("mysql://eva:hush-hush@db/platform?" + query)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hush") {
			t.Errorf("?%s: %v, want an error with %s and without the password", query, err, want)
		}
	}
}

func TestAZoneIsReadWithAndWithoutEscapes(t *testing.T) {
	t.Parallel()
	for query, want := range map[string]string{
		"loc=Asia%2FShanghai": "Asia/Shanghai", "loc=Asia/Shanghai&parseTime=true": "Asia/Shanghai", "loc=Etc/GMT%2B8": "Etc/GMT+8",
		"loc=UTC": "UTC", "": "UTC", "loc=Local": time.Local.String(), "loc=UTC&loc=Asia/Tokyo": "Asia/Tokyo",
	} {
		c, err := Parse("mysql://eva:hush-hush@db/platform?" + query)
		if err != nil || c.Loc.String() != want || c.DBName != "platform" {
			t.Errorf("?%s: %v, %v, want the zone %s", query, c, err, want)
		}
	}
	c, err := Parse("mysql://eva@db/platform?time_zone='Asia/Shanghai'&charset=utf8mb4,utf8&sql_mode='A,B'")
	if err != nil || c.Params["time_zone"] != "'Asia/Shanghai'" || c.Params["sql_mode"] != "'A,B'" {
		t.Errorf("other parameters: %+v, %v", c, err)
	}
}

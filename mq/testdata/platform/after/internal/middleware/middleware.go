// Package middleware knows who asks.
package middleware

import (
	"strconv"

	"github.com/cloudwego/hertz/pkg/app"
)

// GetUserID is 0 without a signed-in user. The platform reads a signed token here.
func GetUserID(c *app.RequestContext) uint {
	n, _ := strconv.ParseUint(string(c.GetHeader("X-Auth-Token")), 10, 32)
	return uint(n)
}

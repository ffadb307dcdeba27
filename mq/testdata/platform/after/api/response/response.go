// Package response writes the envelope of all answers.
package response

import (
	"context"

	"github.com/cloudwego/hertz/pkg/app"
)

// Response is the envelope. The page takes each code but 200 for a failure.
type Response struct {
	Code    int         `json:"code"`
	Message string      `json:"message"`
	Data    interface{} `json:"data"`
}

// Success answers with data.
func Success(_ context.Context, c *app.RequestContext, data interface{}) {
	c.JSON(200, &Response{200, "Success", data})
}

// Error answers with a code that is also the status.
func Error(_ context.Context, c *app.RequestContext, code int, message string) {
	c.JSON(code, &Response{Code: code, Message: message})
}

// Unauthorized asks to sign in.
func Unauthorized(ctx context.Context, c *app.RequestContext, message string) {
	Error(ctx, c, 401, message)
}

// NotFound says that there is nothing.
func NotFound(ctx context.Context, c *app.RequestContext, message string) {
	Error(ctx, c, 404, message)
}

// BadRequest finds fault with the request.
func BadRequest(ctx context.Context, c *app.RequestContext, message string) {
	Error(ctx, c, 400, message)
}

// ErrorFromErr answers with an error.
func ErrorFromErr(ctx context.Context, c *app.RequestContext, err error) {
	Error(ctx, c, 500, err.Error())
}

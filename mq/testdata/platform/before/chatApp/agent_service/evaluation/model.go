// Package evaluation has the model evaluate interviews.
package evaluation

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"

	"github.com/bytedance/sonic"

	"ai-eino-interview-agent/internal/model"
)

// BaseURL is where the chat model is.
var BaseURL string

// apiError is what the model's client returns for an answer that is no success.
type apiError struct {
	HTTPStatusCode int
	Message        string
}

func (e *apiError) Error() string {
	return fmt.Sprintf("status code: %d, message: %s", e.HTTPStatusCode, e.Message)
}

// ask sends the dialogues to the chat model and gives what it says.
func ask(ctx context.Context, what string, userId uint, reportId uint64) (string, error) {
	dialogues, err := model.Dialogues(userId, reportId)
	if err != nil {
		return "", err
	}
	text, err := sonic.Marshal(map[string]interface{}{"what": what, "dialogues": dialogues})
	if err != nil {
		return "", err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, BaseURL+"/"+what, bytes.NewReader(text))
	if err != nil {
		return "", err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", fmt.Errorf("error during evaluation: %w", err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return "", fmt.Errorf("error during evaluation: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		return "", fmt.Errorf("error during evaluation: %w", &apiError{resp.StatusCode, http.StatusText(resp.StatusCode)})
	}
	return string(answer), nil
}

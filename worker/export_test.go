package worker

import (
	"time"

	"github.com/hibiken/asynq"
)

// AsynqConfig is what s runs Asynq with.
func (s *Server) AsynqConfig() asynq.Config { return s.asynqConfig() }

// SetFresh sets how old the answer to a claim may be.
func (s *Server) SetFresh(d time.Duration) { s.fresh = d }

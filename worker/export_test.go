package worker

import "github.com/hibiken/asynq"

// AsynqConfig is what s runs Asynq with.
func (s *Server) AsynqConfig() asynq.Config { return s.asynqConfig() }

// Package mq is the message queue of the interview platform that evalq replaces,
// name for name, and durable. A program that was written for it swaps the import
// and says once what evaluates:
//
//	mq.SetEvaluationService(evaluateReport, evaluateTopics)
//	mq.InitMessageQueue(mq.NewRedisQueue(client))
//	go mq.StartConsumer(ctx)
//
// What such a queue promises depends on where messages are kept:
//
//   - [InMemoryQueue] keeps them in the process, and loses them with it;
//   - [RedisQueue] keeps them in Redis, as tasks of Asynq, and is as durable as
//     that Redis;
//   - after [UseClient] the two evaluation types go to evalq's ledger instead:
//     what Publish has answered nil for is evaluated, once, by evalq's own workers.
//
// In the first two, delivery is at least once: a process can die after a handler's
// work and before the queue has heard of it. A handler that writes to a database of
// its own has to bear a second call, for example by updating the one row of its
// report instead of inserting another.
//
// All queues keep the same promises while they last, which package mqtest checks:
// a message goes to one handler, however many have subscribed in however many
// processes; one that fails is tried again later, and set aside when that does not
// help; a panic is a failure; at most so many handlers run at once; Publish and the
// helpers pay no heed to a context that has ended; Close lets handlers finish and
// leaves no goroutine.
//
// [Bridge] turns what old programs still publish on the channels
// interview:messages:… into jobs.
package mq

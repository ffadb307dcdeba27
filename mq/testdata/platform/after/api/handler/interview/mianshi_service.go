// Package interview answers the requests of the pages.
package interview

import (
	"context"
	"errors"
	"log"
	"strconv"

	"github.com/cloudwego/hertz/pkg/app"

	"ai-eino-interview-agent/api/response"
	"ai-eino-interview-agent/internal/middleware"
	"ai-eino-interview-agent/internal/model"

	"evalq/client"
	"evalq/mq"
	"evalq/tasks"
)

// EndMianshi stores an interview and asks for its evaluations.
func EndMianshi(ctx context.Context, c *app.RequestContext) {
	userID := middleware.GetUserID(c)
	if userID == 0 {
		response.Unauthorized(ctx, c, "Unauthorized")
		return
	}
	record := &model.InterviewRecord{UserID: userID, Type: "specialized", Status: "completed"}
	dialogues := []model.InterviewDialogue{{Question: c.PostForm("question"), Answer: c.PostForm("answer")}}
	if err := model.CreateInterview(record, dialogues); err != nil {
		response.ErrorFromErr(ctx, c, err)
		return
	}
	if err := mq.PublishEvaluationReport(ctx, userID, record.ID); err != nil {
		log.Printf("publish the evaluation: %v", err)
	}
	if err := mq.PublishTopicEvaluation(ctx, userID, record.ID); err != nil {
		log.Printf("publish the evaluation of answers: %v", err)
	}
	response.Success(ctx, c, map[string]interface{}{"report_id": record.ID})
}

// GetMianshiEvaluation answers with the comprehensive evaluation.
func GetMianshiEvaluation(ctx context.Context, c *app.RequestContext) {
	userId, reportID, ok := asked(ctx, c)
	if !ok {
		return
	}
	existing, err := model.InterviewEvaluationDao.GetEvaluationByUserIDAndReportID(userId, reportID)
	if err == nil {
		response.Success(ctx, c, existing)
		return
	}
	answerWithoutRow(ctx, c, tasks.KindEvaluationReport, userId, reportID)
}

// GetMianshiAnswerRecord answers with the evaluation of each answer.
func GetMianshiAnswerRecord(ctx context.Context, c *app.RequestContext) {
	userId, reportID, ok := asked(ctx, c)
	if !ok {
		return
	}
	existing, err := model.AnswerReportDao.GetReportByUserIDAndReportID(userId, reportID)
	if err == nil && len(existing.Records) > 0 {
		response.Success(ctx, c, existing)
		return
	}
	answerWithoutRow(ctx, c, tasks.KindTopicEvaluation, userId, reportID)
}

// Evaluations is where evaluations that have no row yet are known.
var Evaluations *client.Client

// answerWithoutRow says how far an evaluation is. It never starts one.
func answerWithoutRow(ctx context.Context, c *app.RequestContext, kind tasks.Kind, userID uint, reportID uint64) {
	job, err := Evaluations.Find(ctx, kind, int64(userID), int64(reportID))
	switch {
	case errors.Is(err, tasks.ErrNotFound):
		response.NotFound(ctx, c, "no evaluation was asked for")
	case err != nil:
		response.Error(ctx, c, 503, "try again later")
	case job.State == tasks.Succeeded:
		response.Success(ctx, c, job.Result)
	default:
		response.Success(ctx, c, map[string]interface{}{"state": job.State, "ended": job.State.Finished(), "score": nil})
	}
}

func asked(ctx context.Context, c *app.RequestContext) (userID uint, reportID uint64, ok bool) {
	if userID = middleware.GetUserID(c); userID == 0 {
		response.Unauthorized(ctx, c, "Unauthorized")
		return 0, 0, false
	}
	reportID, err := strconv.ParseUint(c.Query("report_id"), 10, 63)
	if err != nil || reportID == 0 {
		response.BadRequest(ctx, c, "Invalid request: report_id")
		return 0, 0, false
	}
	return userID, reportID, true
}

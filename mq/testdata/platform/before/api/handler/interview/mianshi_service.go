// Package interview answers the requests of the pages.
package interview

import (
	"context"
	"log"
	"strconv"

	"github.com/cloudwego/hertz/pkg/app"

	"ai-eino-interview-agent/api/response"
	"ai-eino-interview-agent/chatApp/agent_service/evaluation"
	"ai-eino-interview-agent/internal/middleware"
	"ai-eino-interview-agent/internal/model"
	"ai-eino-interview-agent/internal/mq"
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
	resp, err := evaluation.GenerateRecordEvaluation(ctx, userId, reportID)
	if err != nil {
		response.ErrorFromErr(ctx, c, err)
		return
	}
	response.Success(ctx, c, resp)
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
	resp, err := evaluation.GenerateAnswerRecordEvaluation(ctx, userId, reportID)
	if err != nil {
		response.ErrorFromErr(ctx, c, err)
		return
	}
	response.Success(ctx, c, resp)
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

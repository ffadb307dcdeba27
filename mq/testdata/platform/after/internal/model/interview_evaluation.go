package model

import (
	"time"

	"gorm.io/gorm/clause"
)

// InterviewEvaluationDao reaches the table interview_evaluation.
var InterviewEvaluationDao interviewEvaluationDao

type interviewEvaluationDao struct{}

// InterviewEvaluation is a comprehensive evaluation.
type InterviewEvaluation struct {
	ID         uint64                 `json:"id" gorm:"primaryKey;autoIncrement"`
	UserID     uint                   `json:"user_id" gorm:"not null;index"`
	ReportID   uint64                 `json:"report_id" gorm:"not null;index"`
	Comment    string                 `json:"comment" gorm:"type:text"`
	Score      float64                `json:"score" gorm:"type:decimal(5,2)"`
	Dimensions []*EvaluationDimension `json:"dimensions" gorm:"type:json;serializer:json"`
	Deleted    int                    `json:"deleted" gorm:"default:0;index"`
	CreatedAt  time.Time              `json:"created_at" gorm:"autoCreateTime:milli"`
	UpdatedAt  time.Time              `json:"updated_at" gorm:"autoUpdateTime:milli"`
}

// EvaluationDimension is one of its scores.
type EvaluationDimension struct {
	DimensionName string  `json:"dimension_name"`
	Evaluation    string  `json:"evaluation"`
	Score         float64 `json:"score"`
}

// TableName is the table's.
func (InterviewEvaluation) TableName() string { return "interview_evaluation" }

// CreateEvaluation stores one.
func (dao *interviewEvaluationDao) CreateEvaluation(evaluation *InterviewEvaluation) error {
	return getDB().Clauses(clause.OnConflict{
		DoUpdates: clause.AssignmentColumns([]string{"comment", "score", "dimensions", "updated_at"}),
	}).Create(evaluation).Error
}

// GetEvaluationByUserIDAndReportID reads the first one.
func (dao *interviewEvaluationDao) GetEvaluationByUserIDAndReportID(userID uint, reportID uint64) (*InterviewEvaluation, error) {
	var evaluation InterviewEvaluation
	err := getDB().Where("user_id = ? AND report_id = ? AND deleted = 0", userID, reportID).First(&evaluation).Error
	return &evaluation, err
}

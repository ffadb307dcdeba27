package model

import (
	"time"

	"gorm.io/gorm/clause"
)

// AnswerReportDao reaches the table answer_report.
var AnswerReportDao answerReportDao

type answerReportDao struct{}

// AnswerReport is an evaluation of each answer.
type AnswerReport struct {
	ID        uint64              `json:"id" gorm:"primaryKey;autoIncrement"`
	UserID    uint                `json:"user_id" gorm:"not null;index"`
	ReportID  uint64              `json:"report_id" gorm:"not null;index"`
	Records   []*AnswerRecordItem `json:"records" gorm:"type:json;serializer:json"`
	Deleted   int                 `json:"deleted" gorm:"default:0;index"`
	CreatedAt time.Time           `json:"created_at" gorm:"autoCreateTime:milli"`
	UpdatedAt time.Time           `json:"updated_at" gorm:"autoUpdateTime:milli"`
}

// AnswerRecordItem is the evaluation of one answer.
type AnswerRecordItem struct {
	Order   int    `json:"order"`
	Content string `json:"content"`
}

// TableName is the table's.
func (AnswerReport) TableName() string { return "answer_report" }

// CreateReport stores one.
func (dao *answerReportDao) CreateReport(report *AnswerReport) error {
	return getDB().Clauses(clause.OnConflict{
		DoUpdates: clause.AssignmentColumns([]string{"records", "updated_at"}),
	}).Create(report).Error
}

// GetReportByUserIDAndReportID reads the first one.
func (dao *answerReportDao) GetReportByUserIDAndReportID(userID uint, reportID uint64) (*AnswerReport, error) {
	var report AnswerReport
	err := getDB().Where("user_id = ? AND report_id = ? AND deleted = 0", userID, reportID).First(&report).Error
	return &report, err
}

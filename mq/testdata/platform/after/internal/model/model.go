// Package model has the tables of the platform.
package model

import (
	"time"

	"gorm.io/gorm"
)

var getDB func() *gorm.DB

// SetDBGetter says where the database is.
func SetDBGetter(f func() *gorm.DB) { getDB = f }

// InterviewRecord is an interview.
type InterviewRecord struct {
	ID           uint64    `gorm:"primaryKey;autoIncrement"`
	UserID       uint      `gorm:"not null;index"`
	Type         string    `gorm:"size:50"`
	Difficulty   string    `gorm:"size:50"`
	Domain       string    `gorm:"size:100"`
	CompanyName  string    `gorm:"size:100"`
	PositionName string    `gorm:"size:100"`
	Status       string    `gorm:"size:20;default:pending"`
	Duration     int64     `gorm:"default:0"`
	CreatedAt    time.Time `gorm:"autoCreateTime:milli"`
	UpdatedAt    time.Time `gorm:"autoUpdateTime:milli"`
}

// TableName is the table's.
func (InterviewRecord) TableName() string { return "interview_record" }

// CreateInterview stores an interview with its dialogues.
func CreateInterview(r *InterviewRecord, dialogues []InterviewDialogue) error {
	return getDB().Transaction(func(tx *gorm.DB) error {
		if err := tx.Create(r).Error; err != nil {
			return err
		}
		for i := range dialogues {
			dialogues[i].UserID, dialogues[i].ReportID = r.UserID, r.ID
		}
		return tx.Create(&dialogues).Error
	})
}

// InterviewDialogue is a question and its answer.
type InterviewDialogue struct {
	ID        uint64    `gorm:"primaryKey;autoIncrement"`
	UserID    uint      `gorm:"not null;index"`
	ReportID  uint64    `gorm:"not null;index"`
	Question  string    `gorm:"type:text"`
	Answer    string    `gorm:"type:text"`
	CreatedAt time.Time `gorm:"autoCreateTime:milli"`
}

// TableName is the table's.
func (InterviewDialogue) TableName() string { return "interview_dialogues" }

// Dialogues lists an interview's.
func Dialogues(userID uint, reportID uint64) (out []InterviewDialogue, err error) {
	err = getDB().Where("user_id = ? AND report_id = ?", userID, reportID).Order("id").Find(&out).Error
	return out, err
}

package sqlite

// CheckEnds is what is done to a file that is too large to be looked at wholly.
var CheckEnds = checkEnds

// StartCopy holds a backup under way until end.
func (d *DB) StartCopy() (end func()) {
	d.copying.Lock()
	return d.copying.Unlock
}

module vmsnapshot.io/bench/walk

go 1.26

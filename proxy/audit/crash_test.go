package audit_test

const childEnv = "KEYHOLE_AUDIT_TEST_CHILD"

func child() int { return 2 }

;; Logs one line with a control character and allows.
(module
  (import "policy_v1" "log" (func $log (param i32 i32)))
  (memory (export "memory") 1)
  (func (export "policy_abi_version") (result i32) (i32.const 1))
  (func (export "policy_buffer") (param i32) (result i32) (i32.const 1024))
  (data (i32.const 16) "hello\0aworld")
  (func (export "policy_eval") (param i32 i32) (result i64)
    (call $log (i32.const 16) (i32.const 11))
    (i64.const 1)
  )
)

;; flags: --enable-tail-call
;; Uses tail calls.
(module
  (memory (export "memory") 1)
  (func (export "policy_abi_version") (result i32) (i32.const 1))
  (func (export "policy_buffer") (param i32) (result i32) (i32.const 1024))
  (func $s (result i64) (return_call $s))
  (func (export "policy_eval") (param i32 i32) (result i64)
    (call $s)
  )
)

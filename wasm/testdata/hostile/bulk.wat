;; Fills and copies its memory for ever, with few instructions.
(module
  (memory (export "memory") 1)
  (func (export "policy_abi_version") (result i32) (i32.const 1))
  (func (export "policy_buffer") (param i32) (result i32) (i32.const 1024))
  (func (export "policy_eval") (param i32 i32) (result i64)
    (loop $l
      (memory.fill (i32.const 0) (i32.const 1) (i32.const 65536))
      (memory.copy (i32.const 0) (i32.const 1) (i32.const 65535))
      (br $l))
    (i64.const 1)
  )
)

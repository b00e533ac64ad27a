;; Grows its table for ever.
(module
  (memory (export "memory") 1)
  (func (export "policy_abi_version") (result i32) (i32.const 1))
  (func (export "policy_buffer") (param i32) (result i32) (i32.const 1024))
  (table $t 1 funcref)
  (func (export "policy_eval") (param i32 i32) (result i64)
    (loop $l (drop (table.grow $t (ref.null func) (i32.const 1000))) (br $l))
    (i64.const 1)
  )
)

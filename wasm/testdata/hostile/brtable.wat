;; Never returns: loops through a br_table whose every target is a loop header.
(module
  (memory (export "memory") 1)
  (func (export "policy_abi_version") (result i32) (i32.const 1))
  (func (export "policy_buffer") (param i32) (result i32) (i32.const 1024))
  (func (export "policy_eval") (param i32 i32) (result i64)
    (loop $a
      (loop $b
        (loop $c
          (br_table $a $b $c $a (local.get 1)))))
    (i64.const 1)
  )
)

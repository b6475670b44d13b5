"""The smallest host function, as LLVM IR: `increment` writes its first buffer's int32 plus one to its second."""

IR = """
define void @increment(ptr %buffers) {
  %x = load ptr, ptr %buffers
  %second = getelementptr ptr, ptr %buffers, i64 1
  %y = load ptr, ptr %second
  %v = load i32, ptr %x
  %w = add i32 %v, 1
  store i32 %w, ptr %y
  ret void
}
"""
